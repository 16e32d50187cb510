"""Which share of a model's requests the gateway sends to the pods of a canary, however few pods there are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from settings import StepSettings

Caps = Sequence[tuple[int, int]]
"""The most percent of the requests that a version gets with so many pods, or fewer; with more, a share by pods."""


def caps(replicas: int, stages: Sequence[StepSettings]) -> Caps:
    """Return the weight of each step by its number of pods; of steps with as many pods the lowest."""
    found: dict[int, int] = {}
    for stage in stages:
        found.setdefault(_canary_pods(replicas, stage.weight), stage.weight)
    return tuple(found.items())


def _canary_pods(replicas: int, weight: int) -> int:
    """Return how many pods a step has: of `replicas`, or one more, the nearest share that leaves some to stable.

    As argo-rollouts counts without a router of traffic (utils/replicaset/canary.go of 1.10).
    """
    up, down = math.ceil(replicas * weight / 100), math.floor(replicas * weight / 100)
    near = [(pods, total) for total in (replicas, replicas + 1) for pods in (up, down) if 0 < pods < total]
    return min(near, key=lambda one: abs(100 * one[0] / one[1] - weight))[0]
