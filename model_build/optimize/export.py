"""torch → ONNX with the dynamo exporter and a dynamic batch."""

import logging
import warnings
from typing import Any

import onnx
import torch
from torch import nn

from model_build.artifact import MODEL
from model_build.errors import RecipeError
from model_build.graph import names
from model_build.job import Job
from model_build.optimize import clean, opening, seeding, structure
from model_build.tasks import TASKS

SAMPLES = 3  # above 2, so that the exporter cannot take the batch for a constant


def run(job: Job) -> dict[str, Any]:
    """Export the model as it is; raises RecipeError where the exporter refuses it."""
    seeding.settle(job.params["seed"])
    _, model = structure.load(job)
    clean.save(to_onnx(job, model), job.out / MODEL)
    return {"size": (job.out / MODEL).stat().st_size}


def to_onnx(job: Job, model: nn.Module) -> onnx.ModelProto:
    """Return the model as ONNX with our names, a dynamic batch and the recipe's dynamic axes; raises RecipeError."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    sample = structure.sample(job, SAMPLES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                opening.traceable(model, sample),
                (sample,),
                dynamo=True,
                dynamic_shapes=(dynamic_shapes(job),),
                opset_version=job.params["opset"],
                verbose=False,
            )
    except Exception as error:
        said = str(error.__cause__ or error)[:400]
        raise RecipeError(
            f"steps.export: the model cannot be exported with a dynamic batch at opset {job.params['opset']}: {said}; "
            "change the operation it names, or the opset"
        ) from error
    if program is None:
        raise RecipeError("steps.export: the exporter returned nothing; check the model's forward")
    # The exporter would give a name twice where the model has a tensor of that name.
    made = program.model_proto
    names.give(made.graph, TASKS[job.params["task"]].output)
    return made


def dynamic_shapes(job: Job) -> dict[int, Any]:
    """Return the sizes that are not fixed: the batch, and the length of each axis that the recipe names."""
    axes = job.params["dynamic_axes"]
    return {0: torch.export.Dim("batch"), **{axis: torch.export.Dim(f"length_{axis}") for axis in axes}}
