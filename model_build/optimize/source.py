"""The source model: built by the model's factory, with the weights that training kept."""

from pathlib import Path

import torch

from model_build.errors import RecipeError
from model_build.job import Job, call_entry

WEIGHTS = "weights.pt"


def build(job: Job) -> torch.nn.Module:
    """Return the model that the recipe's factory makes; raises RecipeError where it makes none."""
    entry = job.params["entry"]
    model = call_entry(job.model_folder, entry, "model")
    if not isinstance(model, torch.nn.Module):
        raise RecipeError(
            f"{job.model_folder.name}: model: {entry!r} returned {type(model).__name__}; return a torch.nn.Module"
        )
    return model


def trained(job: Job) -> torch.nn.Module:
    """Return the model with its trained weights, ready to answer."""
    model = build(job)
    path: Path = job.inputs["train"] / WEIGHTS
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()
