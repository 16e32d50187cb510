"""The quantize step: the exported fp32 ONNX in fewer bits, by the method that the recipe names."""

import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from model_build import data
from model_build.artifact import HISTOGRAMS, MODEL, SENSITIVITY
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import clean, float16, histograms, int8, outliers, sensitivity


def run(job: Job) -> dict[str, Any]:
    """Quantize the exported model; raises RecipeError where calibration asks for more than there is."""
    logging.getLogger().setLevel(logging.ERROR)
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if job.params["method"] == "float16":
            made = float16.halved(job.inputs["export"] / MODEL)
        else:
            model = int8.prepared(job.inputs["export"] / MODEL, Path(folder))
            if job.params["method"] == "dynamic-int8":
                made = _dynamic(job, model)
            else:
                made, told = _static(job, model)
    clean.save(made, job.out / MODEL)
    return {"size": (job.out / MODEL).stat().st_size, **told}


def _dynamic(job: Job, model: Path) -> onnx.ModelProto:
    count = job.params["outliers"]
    if count == 0:
        return int8.dynamic(model, job.params)
    return int8.dynamic(model, job.params, outliers.split(model, _calibration(job), count))


def _calibration(job: Job) -> data.Inputs:
    params = job.params
    inputs = data.read(job.inputs["data"], "train").inputs
    if params["calibration_samples"] > len(inputs):
        raise RecipeError(
            f"steps.quantize.calibration_samples: {params['calibration_samples']} is above the limit of {len(inputs)} "
            "training samples; lower it"
        )
    return int8.chosen(inputs, params["calibration_samples"], params["seed"])


def _static(job: Job, model: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    params = job.params
    calibration = _calibration(job)
    order = sensitivity.costs(model, calibration, params, job.progress)
    (job.out / SENSITIVITY).write_text(json.dumps([asdict(one) for one in order], indent=1))
    told: dict[str, Any] = {}
    if params["keep_fp32"] is None:
        made = int8.static(model, calibration, params)
    else:
        validation = data.read(job.inputs["data"], "validation")
        made, kept, drop = sensitivity.without_the_costliest(model, calibration, validation, order, params)
        told = {"kept_fp32": kept, "validation_drop": drop}
    (job.out / HISTOGRAMS).write_text(json.dumps(histograms.of(model, made, calibration)))
    return made, told
