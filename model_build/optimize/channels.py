"""Structured pruning: takes whole channels out of layers and out of every layer that reads them.

The dependencies between layers are found by torch-pruning (DepGraph, Fang et al., CVPR 2023, arXiv:2301.12900).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch_pruning
from torch import Tensor, nn

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Removed:
    """Channels that were taken out of one layer, and with it of those that depend on it."""

    layer: str
    outputs: bool
    channels: list[int]


def remove(model: nn.Module, sample: Tensor, ratio: float, round_to: int) -> list[Removed]:
    """Take the share `ratio` of channels with the smallest L2 norm out of each layer but those that make the output.

    Each layer keeps a multiple of `round_to` channels. Returns what `remove_again` needs.
    """
    pruner = torch_pruning.pruner.BasePruner(
        model,
        sample,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        ignored_layers=_of_output(model, sample),
        round_to=round_to,
        root_module_types=list(LAYERS),
    )
    pruner.step()
    return [Removed(layer, outputs, [int(one) for one in which]) for layer, outputs, which in pruner.pruning_history()]


def remove_again(model: nn.Module, sample: Tensor, removed: Sequence[Removed]) -> None:
    """Take the same channels out of a model of the same factory."""
    graph = torch_pruning.DependencyGraph().build_dependency(model, sample)
    graph.load_pruning_history([(one.layer, one.outputs, one.channels) for one in removed])


def _of_output(model: nn.Module, sample: Tensor) -> list[nn.Module]:
    """Return the layers whose channels are, through whatever depends on them, the model's outputs."""
    wanted = _shape(model, sample)
    named = [name for name, layer in model.named_modules() if isinstance(layer, LAYERS)]
    return [model.get_submodule(name) for name in named if _shape_without_one(model, sample, name) != wanted]


def _shape_without_one(model: nn.Module, sample: Tensor, name: str) -> tuple[int, ...] | None:
    tried = copy.deepcopy(model)
    layer = tried.get_submodule(name)
    graph = torch_pruning.DependencyGraph().build_dependency(tried, sample)
    group = graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, [0])
    if not graph.check_pruning_group(group):
        return None
    group.prune()
    return _shape(tried, sample)


def _shape(model: nn.Module, sample: Tensor) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(model.eval()(sample).shape)
