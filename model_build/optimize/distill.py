"""Distillation: a student learns from a teacher's softened answers, from hard labels, and from one of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import seeding, structure
from model_build.optimize.fit import Loss, fit
from model_build.optimize.structure import Structure
from model_build.optimize.taps import Projected, Tap
from model_build.optimize.train import check_outputs


def run(job: Job) -> dict[str, Any]:
    """Train the student and keep it; tells the parameters of both."""
    params = job.params
    seeding.settle(params["seed"])
    _, teacher = structure.load(job, "teacher")
    made, student = _student(job)
    check_outputs(student, job)
    model, loss = _with_loss(job, teacher, student)
    fitted = fit(job, model, params["train"], seed=params["seed"], key=f"{params['key']}.train", loss=loss)
    structure.save(job, made, student)
    return {
        **fitted.facts,
        "parameters_before": structure.parameters(teacher),
        "parameters": structure.parameters(student),
    }


def answers_loss(student: Tensor, teacher: Tensor, labels: Tensor, params: Mapping[str, Any]) -> Tensor:
    """Return the loss of logits [n, classes] (Hinton et al., arXiv:1503.02531, section 2).

    The soft part is scaled by the square of the temperature, so that its gradients keep their size.
    """
    temperature, hard = params["temperature"], params["hard_labels"]
    soft = nn.functional.kl_div(
        nn.functional.log_softmax(student / temperature, 1),
        nn.functional.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    return hard * nn.functional.cross_entropy(student, labels) + (1 - hard) * temperature**2 * soft


def _student(job: Job) -> tuple[Structure, nn.Module]:
    entry = job.params["student"]
    if entry is None:
        return structure.load(job)
    made = Structure(entry)
    return made, structure.build(job, made)


def _with_loss(job: Job, teacher: nn.Module, student: nn.Module) -> tuple[nn.Module, Loss]:
    """Return what is trained, and its loss; a projection of features is trained beside the student and left behind."""
    params = job.params
    if params["features"] is None:
        return student, lambda model, inputs, labels: answers_loss(
            model(inputs), _told(teacher, inputs), labels, params
        )
    features = params["features"]
    taps = tuple(
        Tap.on(model, features[which], f"steps.distill.features.{which}")
        for which, model in (("teacher", teacher), ("student", student))
    )
    sample = structure.sample(job)
    wanted, found = (tap.shape(model.eval(), sample) for tap, model in zip(taps, (teacher, student), strict=True))
    if wanted[2:] != found[2:] or len(wanted) != len(found):
        raise RecipeError(
            f"steps.distill.features: {features['teacher']!r} gives {list(wanted)} a sample and "
            f"{features['student']!r} {list(found)}, the limit is one size but for the "
            "channels; name layers of the same size"
        )
    model = Projected(student, found[1], wanted[1])

    def loss(_: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        told, answers = _told(teacher, inputs), student(inputs)
        wanted, found = (tap.last for tap in taps)
        distance = nn.functional.mse_loss(model.project(found), wanted)
        return answers_loss(answers, told, labels, params) + features["weight"] * distance

    return model, loss


def _told(teacher: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        answers: Tensor = teacher.eval()(inputs)
    return answers
