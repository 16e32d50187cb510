"""torch → ONNX with the dynamo exporter and a dynamic batch."""

import logging
import warnings
from typing import Any

import torch

from model_build.artifact import INPUT, MODEL, OUTPUT
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import clean, seeding, structure

SAMPLES = 3  # above 2, so that the exporter cannot take the batch for a constant


def run(job: Job) -> dict[str, Any]:
    """Export the trained model; raises RecipeError where the exporter refuses it."""
    seeding.settle(job.params["seed"])
    _, model = structure.load(job)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (structure.sample(job, SAMPLES),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=job.params["opset"],
                input_names=[INPUT],
                output_names=[OUTPUT],
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
    clean.save(program.model_proto, job.out / MODEL)
    return {"size": (job.out / MODEL).stat().st_size}
