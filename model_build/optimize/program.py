"""The program step: the torch model that was chosen as TorchScript, held to what the model itself answers."""

import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model_build import data
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import seeding, structure
from model_build.runtimes.torchserve import PROGRAM

SAMPLES = 3
FIRST_DAY = (1980, 1, 1, 0, 0, 0)
# Where each operator stood in the sources of the machine that traced it, and a number over that.
UNWANTED = (".debug_pkl", ".data/serialization_id")


def run(job: Job) -> dict[str, Any]:
    """Write model.pt; raises RecipeError where the model cannot be traced or then answers otherwise."""
    seeding.settle(job.params["seed"])
    _, model = structure.load(job)
    inputs = torch.from_numpy(np.ascontiguousarray(data.read(job.inputs["data"], "test").inputs))
    traced = _traced(model, inputs[:SAMPLES])
    _save(traced, job.out / PROGRAM)
    distances = {batch: _distance(model, job.out / PROGRAM, inputs[:batch]) for batch in job.params["batches"]}
    for batch, distance in distances.items():
        if not distance <= job.params["atol"]:
            raise RecipeError(
                f"runtime: torchserve: at a batch of {batch} the model as TorchScript differs by {distance:.2e}, the "
                f"limit is gates.parity.atol {job.params['atol']:.2e}; take what depends on data or batch out of its "
                "forward, or use runtime onnxruntime"
            )
    return {"size": (job.out / PROGRAM).stat().st_size, "parity": max(distances.values())}


def _traced(model: nn.Module, sample: torch.Tensor) -> torch.jit.ScriptModule:
    if isinstance(model, torch.jit.ScriptModule):
        return model
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced: torch.jit.ScriptModule = torch.jit.trace(model, sample, check_trace=False)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise RecipeError(
            f"runtime: torchserve: the model cannot be traced: {said}; change the operation it names, "
            "or use runtime onnxruntime"
        ) from error
    return traced


def _save(model: torch.jit.ScriptModule, path: Path) -> None:
    """Write the module without clock readings and paths of this machine: the same weights are the same bytes."""
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(model, written)
    with zipfile.ZipFile(written) as found, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as kept:
        for name in sorted(found.namelist()):
            if not name.endswith(UNWANTED):
                kept.writestr(zipfile.ZipInfo(name, FIRST_DAY), found.read(name))


def _distance(model: nn.Module, program: Path, inputs: torch.Tensor) -> float:
    """Return how far the saved program's answers lie from the model's; infinite where it has none."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(str(program), map_location="cpu").eval()
        try:
            answers = loaded(inputs)
        except RuntimeError:
            return math.inf
        return float((answers - model(inputs)).abs().max())
