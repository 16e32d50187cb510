"""What the torch models answer on the held-out split, for the gates to hold the artifact to."""

from typing import Any

import torch
from torch import nn

from model_build import data, npz
from model_build.artifact import OUTPUTS
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import seeding, structure
from model_build.probes import probes

AT_ONCE = 256


def run(job: Job) -> dict[str, Any]:
    """Keep the source's logits of the test split, and of the first samples at each parity batch the model's own."""
    seeding.settle(job.params["seed"])
    _, source = structure.load(job, "source")
    _, model = structure.load(job)
    split = data.read(job.inputs["data"], "test")
    inputs = torch.from_numpy(split.inputs)
    with torch.no_grad():
        answers = {"test": torch.cat([source(part) for part in inputs.split(AT_ONCE)])}
        for name, probe in probes(split.inputs, job.params["batches"], job.params["dynamic_axes"]).items():
            answers[name] = _answer(model, name, probe)
    npz.save(job.out / OUTPUTS, {name: value.numpy() for name, value in answers.items()})
    return {"samples": len(inputs)}


def _answer(model: nn.Module, name: str, probe: data.Inputs) -> torch.Tensor:
    try:
        answer: torch.Tensor = model(torch.from_numpy(probe))
    except RuntimeError as error:
        raise RecipeError(
            f"steps.export.dynamic_axes: the model cannot answer {name}, {list(probe.shape)}: {str(error)[:200]}; "
            "name only axes along which it takes any length"
        ) from error
    return answer
