"""Seeded training of the model that the recipe's factory makes."""

from typing import Any

import torch
from torch import nn

from model_build import data
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import seeding, structure
from model_build.optimize.fit import fit
from model_build.optimize.structure import Structure


def run(job: Job) -> dict[str, Any]:
    """Train and keep the weights and curves; raises RecipeError where the loss stops being a number."""
    seeding.settle(job.params["seed"])
    made = Structure(job.params["entry"])
    model = structure.build(job, made)
    check_outputs(model, job)
    fitted = fit(job, model, job.params, seed=job.params["seed"], key=job.params["key"])
    structure.save(job, made, model)
    return {**fitted.facts, "parameters": structure.parameters(model)}


def check_outputs(model: nn.Module, job: Job) -> None:
    """Refuse a model that does not answer with one logit a label, or where nothing is labelled with one vector."""
    classes = len(data.read_names(job.inputs["data"]))
    batch = torch.from_numpy(data.read(job.inputs["data"], "train").inputs[:2])
    with torch.no_grad():
        shape = tuple(structure.evaluated(model)(batch).shape)
    if not classes and (len(shape) != 2 or shape[0] != len(batch)):
        raise RecipeError(
            f"model: {len(batch)} samples give outputs of shape {shape}, the limit is ({len(batch)}, any): one vector "
            "a sample; change what the model returns"
        )
    if classes and shape != (len(batch), classes):
        raise RecipeError(
            f"model: {len(batch)} samples give outputs of shape {shape}, the limit is ({len(batch)}, {classes}): "
            "one logit a label; change the model's last layer or the labels' names"
        )
