"""What training does to a batch; validation and test are never touched."""

import torch
from torch import Tensor, nn

from model_build.errors import RecipeError


def shifted(inputs: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Move each image of [n, c, h, w] by up to `limit` pixels each way; what comes in is zero."""
    if limit == 0:
        return inputs
    if inputs.ndim != 4:
        raise RecipeError(
            f"augment.shift: {limit} needs images [n, c, h, w], samples are {tuple(inputs.shape)}; set it to 0"
        )
    count, _, height, width = inputs.shape
    moves = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator)
    padded = nn.functional.pad(inputs, (limit,) * 4)
    rows = (torch.arange(height) + moves[0])[:, :, None]
    columns = (torch.arange(width) + moves[1])[:, None, :]
    return (
        padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows, columns].permute(0, 3, 1, 2).contiguous()
    )
