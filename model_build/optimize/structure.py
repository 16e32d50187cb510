"""A torch model on disk: what it comes from, what steps did to its layers, and its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model_build import data
from model_build.errors import RecipeError
from model_build.job import Job, call_entry, importing
from model_build.optimize import channels, opening, separable

WEIGHTS = "weights.pt"
STRUCTURE = "structure.json"


@dataclass(frozen=True)
class Edit:
    """What one step did to the layers: channels it removed, or convolutions it separated."""

    removed: tuple[channels.Removed, ...] = ()
    separated: tuple[str, ...] = ()

    def apply(self, model: nn.Module, sample: torch.Tensor) -> None:
        """Do the same to the layers of `model`; its weights are no longer of use."""
        if self.removed:
            channels.remove_again(model, sample, self.removed)
        separable.separate(model, self.separated)


@dataclass(frozen=True)
class Structure:
    """Where a model comes from, and what steps did to its layers, in order.

    `entry` is a factory, `file.py:name`, or where `format` is not module a file of the model's folder.
    """

    entry: str
    edits: tuple[Edit, ...] = ()
    format: str = "module"

    def after(self, edit: Edit) -> Structure:
        """Return the structure after one more edit."""
        return replace(self, edits=(*self.edits, edit))


def build(job: Job, structure: Structure) -> nn.Module:
    """Return the model of `structure` without the weights that steps gave it; raises RecipeError for no model."""
    if structure.format == "module":
        model = call_entry(job.model_folder, structure.entry, "model")
    else:
        with importing(job.model_folder):
            model = opening.open_model(job.model_folder / structure.entry, structure.format)
    if not isinstance(model, nn.Module):
        raise RecipeError(
            f"{job.model_folder.name}: model: {structure.entry!r} gives {type(model).__name__}; "
            "the limit is a torch.nn.Module, give one"
        )
    if structure.edits:
        zeros = sample(job)
        for edit in structure.edits:
            edit.apply(model, zeros)
    return model


def save(job: Job, structure: Structure, model: nn.Module) -> None:
    """Write the model into the step's folder."""
    torch.save(model.state_dict(), job.out / WEIGHTS)
    (job.out / STRUCTURE).write_text(json.dumps(asdict(structure)))


def load(job: Job, alias: str = "model") -> tuple[Structure, nn.Module]:
    """Return the model that an earlier step saved, ready to answer."""
    folder: Path = job.inputs[alias]
    stored: dict[str, Any] = json.loads((folder / STRUCTURE).read_bytes())
    structure = Structure(stored["entry"], tuple(map(_edit, stored["edits"])), stored["format"])
    model = build(job, structure)
    model.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True, map_location="cpu"))
    return structure, evaluated(model)


def evaluated(model: nn.Module) -> nn.Module:
    """Return the model ready to answer; the graph of an exported program has no other state."""
    return model if opening.is_program(model) else model.eval()


def _edit(stored: dict[str, Any]) -> Edit:
    removed = tuple(channels.Removed(**one) for one in stored["removed"])
    return Edit(removed, tuple(stored["separated"]))


def sample(job: Job, count: int = 1) -> torch.Tensor:
    """Return a batch of zeros like training data, [count, …]."""
    inputs = data.read(job.inputs["data"], "train").inputs
    return torch.from_numpy(np.zeros((count, *inputs.shape[1:]), inputs.dtype))


def parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(one.numel() for one in model.parameters())
