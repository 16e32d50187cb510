"""Opens the files that torch models come in, none of them trusted further than the recipe says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch._export.converter import TS2EPConverter

from model_build.errors import RecipeError

REMEDIES = {
    "state-dict": "save `model.state_dict()` by torch.save",
    "safetensors": "save it by safetensors.torch.save_file",
    "torch-export": "save the program by torch.export.save",
    "torchscript": "save the module by torch.jit.save",
    "pickle": "save the whole module by torch.save, with its class in a file beside the recipe",
}


def open_weights(path: Path, kind: str) -> Mapping[str, torch.Tensor]:
    """Return the weights in a state_dict or safetensors file, by name; runs no code of the file's."""
    readers: dict[str, Callable[[], Any]] = {
        "state-dict": lambda: torch.load(path, weights_only=True, map_location="cpu"),
        "safetensors": lambda: load_file(path),
    }
    found = _opened(path, kind, readers[kind])
    if not isinstance(found, Mapping) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise RecipeError(
            f"steps[0].load.file: {path.name} holds {type(found).__name__} and not names with tensors; {REMEDIES[kind]}"
        )
    return found


def open_model(path: Path, kind: str) -> nn.Module:
    """Return the model in a file; a pickled module runs its writer's code, so the recipe has to trust it."""
    readers: dict[str, Callable[[], Any]] = {
        "torch-export": lambda: torch.export.load(path).module(),
        "torchscript": lambda: torch.jit.load(path, map_location="cpu"),
        "pickle": lambda: torch.load(path, weights_only=False, map_location="cpu"),
    }
    model: nn.Module = _opened(path, kind, readers[kind])
    return model


def traceable(model: nn.Module, sample: torch.Tensor) -> nn.Module:
    """Return what torch.export takes: a TorchScript module becomes the program that it is."""
    if not isinstance(model, torch.jit.ScriptModule):
        return model
    program: nn.Module = TS2EPConverter(model, (sample,)).convert().module()
    return program


def is_program(model: nn.Module) -> bool:
    """Return whether the model is the graph of an exported program, which refuses eval() and train()."""
    return isinstance(model, torch.fx.GraphModule)


def _opened(path: Path, kind: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else ""
        raise RecipeError(
            f"steps[0].load.file: {path.name} cannot be opened as {kind}: {type(error).__name__}: {said[:200]}; "
            f"{REMEDIES[kind]}"
        ) from error
