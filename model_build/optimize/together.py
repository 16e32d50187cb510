"""Several workers that train one model: each takes its share of a batch, and all take the step of the whole batch.

The mean gradient of a batch is that of its shares, weighed by their sizes, so the steps are those of one worker but for
the order in which floats are added; layers that look at a batch as a whole (batch normalization) see their share alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from model_build.ranks import DEVICE, Rank, rank_of

# The slowest of them may have to fetch its data first.
WAIT = timedelta(minutes=30)


def device() -> torch.device:
    """Return where the source is trained: on the CPU unless the environment asks for CUDA."""
    return torch.device(os.environ.get(DEVICE) or "cpu")


def join() -> Workers:
    """Return this worker among the others, and wait for them where there are any. Raises EnvironmentFault."""
    rank = rank_of(os.environ)
    if not rank.alone and not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device().type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=WAIT, rank=rank.number, world_size=rank.size)
    return Workers(rank)


@dataclass(frozen=True)
class Workers:
    """What they do together; alone, each of these changes nothing."""

    rank: Rank

    def share(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return this worker's part of a batch: all of it where there is not enough for two samples each."""
        if self.rank.alone or len(labels) < 2 * self.rank.size:
            return inputs, labels
        return inputs[self.rank.number :: self.rank.size], labels[self.rank.number :: self.rank.size]

    def step(self, model: nn.Module, samples: int) -> None:
        """Give every gradient the value of the whole batch, of which this worker saw `samples`."""
        gradients = [one.grad for one in model.parameters() if one.grad is not None]
        if self.rank.alone or not gradients:
            return
        (whole,) = self.sums([float(samples)], gradients[0].device)
        flat = torch.cat([one.flatten() for one in gradients]) * (samples / whole)
        distributed.all_reduce(flat)
        for one, summed in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            one.copy_(summed.view_as(one))

    def sums(self, values: Sequence[float], where: torch.device) -> list[float]:
        """Return the sum of each value over all workers."""
        if self.rank.alone:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64, device=where)
        distributed.all_reduce(told)
        return [float(one) for one in told]

    def agree(self, model: nn.Module) -> None:
        """Give every worker the first one's weights and running figures."""
        if self.rank.alone:
            return
        with torch.no_grad():
            for one in model.state_dict().values():
                distributed.broadcast(one, src=0)
