"""What training does to a batch; validation and test are never touched."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model_build.errors import RecipeError


def augmented(inputs: Tensor, params: Mapping[str, Any], generator: torch.Generator) -> Tensor:
    """Return images [n, c, h, w] turned, resized and shifted as the recipe's `augment` says; others need all zero."""
    if not any(params.values()):
        return inputs
    if inputs.ndim != 4:
        named = {key: value for key, value in params.items() if value}
        raise RecipeError(
            f"augment: {named} needs images [n, c, h, w], samples are {tuple(inputs.shape)}; set each to 0"
        )
    return _shifted(_turned(inputs, params["rotate"], params["scale"], generator), params["shift"], generator)


def _turned(inputs: Tensor, degrees: float, scale: float, generator: torch.Generator) -> Tensor:
    """Turn each image by up to `degrees` and resize it by up to the share `scale`, each way, about its middle."""
    if degrees == 0 and scale == 0:
        return inputs
    angle, size = (2 * torch.rand((2, len(inputs)), generator=generator) - 1).unbind()
    angle, size = angle * math.radians(degrees), 1 + size * scale
    cosine, sine, still = torch.cos(angle) / size, torch.sin(angle) / size, torch.zeros_like(angle)
    turns = torch.stack([cosine, -sine, still, sine, cosine, still], 1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(turns, list(inputs.shape), align_corners=False)
    return nn.functional.grid_sample(inputs, grid, align_corners=False)


def _shifted(inputs: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to `limit` pixels each way; what comes in is zero."""
    if limit == 0:
        return inputs
    count, _, height, width = inputs.shape
    moves = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator)
    padded = nn.functional.pad(inputs, (limit,) * 4)
    rows = (torch.arange(height) + moves[0])[:, :, None]
    columns = (torch.arange(width) + moves[1])[:, None, :]
    return (
        padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows, columns].permute(0, 3, 1, 2).contiguous()
    )
