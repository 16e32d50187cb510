"""Seeded training: Adam, a cosine schedule, early stopping on validation loss, the best weights kept."""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from model_build import data
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import seeding, source

EVALUATE_AT_ONCE = 1024


def run(job: Job) -> dict[str, Any]:
    """Train and keep the weights and curves; raises RecipeError where the loss stops being a number."""
    seeding.settle(job.params["seed"])
    model = source.build(job)
    train, validation = (_tensors(job, name) for name in ("train", "validation"))
    _check_outputs(model, train[0][:2], job)
    curves = _fit(model, train, validation, job)
    torch.save(model.state_dict(), job.out / source.WEIGHTS)
    (job.out / "curves.json").write_text(json.dumps(curves))
    best = min(curves, key=lambda row: row["validation_loss"])
    return {
        "epochs": len(curves),
        "best_epoch": best["epoch"],
        "validation_accuracy": best["validation_accuracy"],
        "parameters": sum(one.numel() for one in model.parameters()),
    }


def _tensors(job: Job, name: str) -> tuple[Tensor, Tensor]:
    split = data.read(job.inputs["data"], name)
    return torch.from_numpy(split.inputs), torch.from_numpy(split.labels)


def _check_outputs(model: nn.Module, sample: Tensor, job: Job) -> None:
    classes = len(data.read_names(job.inputs["data"]))
    with torch.no_grad():
        shape = tuple(model.eval()(sample).shape)
    if shape != (len(sample), classes):
        raise RecipeError(
            f"model: {len(sample)} samples give outputs of shape {shape}, the limit is ({len(sample)}, {classes}): "
            "one logit a label; change the model's last layer or the labels' names"
        )


def _fit(
    model: nn.Module, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], job: Job
) -> list[dict[str, float]]:
    params = job.params
    optimizer = torch.optim.Adam(
        model.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"], foreach=False
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, params["epochs"])
    generator = torch.Generator().manual_seed(params["seed"])
    curves: list[dict[str, float]] = []
    best, best_state = math.inf, copy.deepcopy(model.state_dict())
    waited = 0
    for epoch in range(1, params["epochs"] + 1):
        loss = _epoch(model, train, optimizer, generator, params)
        held_loss, accuracy = _evaluate(model, validation)
        schedule.step()
        _require_finite(epoch, loss, held_loss, params["learning_rate"])
        curves.append({"epoch": epoch, "loss": loss, "validation_loss": held_loss, "validation_accuracy": accuracy})
        detail = f"epoch {epoch} of {params['epochs']}, loss {loss:.4f}, validation {accuracy:.2%}"
        job.progress(epoch / params["epochs"], detail)
        waited = 0 if held_loss < best else waited + 1
        if held_loss < best:
            best, best_state = held_loss, copy.deepcopy(model.state_dict())
        if waited >= params["patience"]:
            break
    model.load_state_dict(best_state)
    return curves


def _epoch(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    params: Any,
) -> float:
    model.train()
    total, seen = 0.0, 0
    for inputs, labels in _batches(train, params["batch_size"], generator):
        moved = shifted(inputs, params["augment"]["shift"], generator)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(moved), labels)
        loss.backward()
        optimizer.step()
        total, seen = total + loss.item() * len(labels), seen + len(labels)
    return total / seen


def _batches(split: tuple[Tensor, Tensor], size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(split[1]), generator=generator)
    for chosen in order.split(size):
        # A batch of one breaks batch normalization, and is no loss at the end of an epoch.
        if len(chosen) > 1 or len(order) == 1:
            yield split[0][chosen], split[1][chosen]


def shifted(inputs: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Move each image of [n, c, h, w] by up to `limit` pixels each way; what comes in is zero."""
    if limit == 0:
        return inputs
    if inputs.ndim != 4:
        raise RecipeError(
            f"steps.train.augment.shift: {limit} needs images [n, c, h, w], samples are {tuple(inputs.shape)}; "
            "set it to 0"
        )
    count, _, height, width = inputs.shape
    moves = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator)
    padded = nn.functional.pad(inputs, (limit,) * 4)
    rows = (torch.arange(height) + moves[0])[:, :, None]
    columns = (torch.arange(width) + moves[1])[:, None, :]
    return (
        padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows, columns].permute(0, 3, 1, 2).contiguous()
    )


def _evaluate(model: nn.Module, split: tuple[Tensor, Tensor]) -> tuple[float, float]:
    model.eval()
    inputs, labels = split
    with torch.no_grad():
        logits = torch.cat([model(part) for part in inputs.split(EVALUATE_AT_ONCE)])
    loss = nn.functional.cross_entropy(logits, labels).item()
    return loss, (logits.argmax(1) == labels).float().mean().item()


def _require_finite(epoch: int, loss: float, held_loss: float, learning_rate: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(held_loss)):
        raise RecipeError(
            f"steps.train.learning_rate: with {learning_rate} the loss is {loss} and on validation {held_loss} in "
            f"epoch {epoch}, the limit is a finite number; lower the learning rate or check the model"
        )
