"""The training loop: Adam, a cosine schedule, early stopping on validation loss, the best weights kept."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model_build import data
from model_build.artifact import CURVES
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize.augment import augmented

EVALUATE_AT_ONCE = 1024
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Fitted:
    """How training went: a row an epoch, with losses and the accuracy on validation."""

    curves: list[dict[str, float]]

    @property
    def facts(self) -> dict[str, Any]:
        """What a step tells of it."""
        best = min(self.curves, key=lambda row: row["validation_loss"])
        return {
            "epochs": len(self.curves),
            "best_epoch": best["epoch"],
            "validation_accuracy": best["validation_accuracy"],
        }


def cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a batch against its labels."""
    return nn.functional.cross_entropy(model(inputs), labels)


def fit(
    job: Job, model: nn.Module, params: Mapping[str, Any], *, seed: int, key: str, loss: Loss = cross_entropy
) -> Fitted:
    """Train `model` in place and keep the curves in the step's folder.

    `key` is where the recipe holds `params`. Raises RecipeError where the loss stops being a number.
    """
    train, validation = (_tensors(job, name) for name in ("train", "validation"))
    optimizer = torch.optim.Adam(
        model.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"], foreach=False
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, params["epochs"])
    generator = torch.Generator().manual_seed(seed)
    curves: list[dict[str, float]] = []
    best, best_state = math.inf, copy.deepcopy(model.state_dict())
    waited = 0
    for epoch in range(1, params["epochs"] + 1):
        trained = _epoch(model, train, optimizer, generator, params=params, loss=loss)
        held, accuracy = _evaluate(model, validation, loss)
        schedule.step()
        _require_finite(key, epoch, trained, held, params["learning_rate"])
        curves.append({"epoch": epoch, "loss": trained, "validation_loss": held, "validation_accuracy": accuracy})
        detail = f"epoch {epoch} of {params['epochs']}, loss {trained:.4f}, validation {accuracy:.2%}"
        job.progress(epoch / params["epochs"], detail)
        waited = 0 if held < best else waited + 1
        if held < best:
            best, best_state = held, copy.deepcopy(model.state_dict())
        if waited >= params["patience"]:
            break
    model.load_state_dict(best_state)
    (job.out / CURVES).write_text(json.dumps(curves))
    return Fitted(curves)


def _tensors(job: Job, name: str) -> tuple[Tensor, Tensor]:
    split = data.read(job.inputs["data"], name)
    return torch.from_numpy(split.inputs), torch.from_numpy(split.labels)


def _epoch(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    *,
    params: Mapping[str, Any],
    loss: Loss,
) -> float:
    model.train()
    total, seen = 0.0, 0
    for inputs, labels in _batches(train, params["batch_size"], generator):
        moved = augmented(inputs, params["augment"], generator)
        optimizer.zero_grad()
        found = loss(model, moved, labels)
        found.backward()
        optimizer.step()
        total, seen = total + found.item() * len(labels), seen + len(labels)
    return total / seen


def _batches(split: tuple[Tensor, Tensor], size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(split[1]), generator=generator)
    for chosen in order.split(size):
        # A batch of one breaks batch normalization, and is no loss at the end of an epoch.
        if len(chosen) > 1 or len(order) == 1:
            yield split[0][chosen], split[1][chosen]


def _evaluate(model: nn.Module, split: tuple[Tensor, Tensor], loss: Loss) -> tuple[float, float]:
    """Return the loss that is trained, and the accuracy: a student that follows its teacher need not fit the labels."""
    model.eval()
    lost, right = 0.0, 0
    with torch.no_grad():
        for inputs, labels in zip(*(part.split(EVALUATE_AT_ONCE) for part in split), strict=True):
            lost += loss(model, inputs, labels).item() * len(labels)
            right += int((model(inputs).argmax(1) == labels).sum())
    count = len(split[1])
    return lost / count, right / count


def _require_finite(key: str, epoch: int, loss: float, held_loss: float, learning_rate: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(held_loss)):
        raise RecipeError(
            f"{key}.learning_rate: with {learning_rate} the loss is {loss} and on validation {held_loss} in "
            f"epoch {epoch}, the limit is a finite number; lower the learning rate or check the model"
        )
