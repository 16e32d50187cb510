"""Latencies of contenders that take turns, so that a machine's slow minutes fall on all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.optimize.contenders import Contender
from benchmarks.turns import rotated
from model_build.data import Inputs

ROUND_SECONDS = 0.05
MOST_CALLS = 500


@dataclass(frozen=True)
class Latency:
    """Microseconds a call."""

    p50: float
    p99: float


def interleaved(contenders: Sequence[Contender], inputs: Inputs, rounds: int) -> dict[str, Latency]:
    """Return each contender's latency for one batch."""
    calls = {one.name: _calls(one, inputs) for one in contenders}
    found: dict[str, list[float]] = {one.name: [] for one in contenders}
    for turn in range(rounds):
        for one in rotated(contenders, turn):
            found[one.name] += _timed(one, inputs, calls[one.name])
    return {name: Latency(*map(float, np.percentile(times, [50, 99]))) for name, times in found.items()}


def _calls(contender: Contender, inputs: Inputs) -> int:
    _timed(contender, inputs, 3)
    once = float(np.median(_timed(contender, inputs, 3))) / 1e6
    return max(3, min(MOST_CALLS, int(ROUND_SECONDS / once)))


def _timed(contender: Contender, inputs: Inputs, calls: int) -> list[float]:
    contender.answer(inputs)  # what ran before has taken the caches
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        contender.answer(inputs)
        times.append((time.perf_counter_ns() - began) / 1000)
    return times
