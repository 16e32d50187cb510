"""How fast a model is here: whether it runs on the event loop, and how many samples at a time pay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from model_server.batching import Plan, stacks
from model_server.tensors import Array

if TYPE_CHECKING:
    from model_server.runtime import Session

# Handing a batch to a thread and its answer back costs some 0.1 ms; a run must stay short beside what it delays.
INLINE_SECONDS = 0.001
TURN_SECONDS = 0.004
TRIALS = 5


def plan(session: Session, inputs: dict[str, Array], limit: int) -> Plan:
    """Return how to run `session`, which is measured on samples of `inputs`, at most `limit` samples at a time."""
    contract = session.contract
    if not stacks(contract):
        return Plan(inline=False, most=1)
    # Where a request says how large a sample is, a small one tells nothing of the next.
    sized = contract.tokens is None and all(-1 not in spec.shape[1:] for spec in contract.inputs)
    alone = _seconds(session, _samples(inputs, 1)) if sized else INLINE_SECONDS
    if alone >= INLINE_SECONDS:
        return Plan(inline=False, most=limit)
    return Plan(inline=True, most=_best(session, inputs, alone, limit))


def _best(session: Session, inputs: dict[str, Array], alone: float, limit: int) -> int:
    """Return the number of samples, a power of two, of which most are answered a second."""
    best, rate, count = 1, 1 / alone, 2
    while count <= limit:
        seconds = _seconds(session, _samples(inputs, count))
        if seconds > TURN_SECONDS:
            break
        if count / seconds > rate:
            best, rate = count, count / seconds
        count *= 2
    return best


def _samples(inputs: dict[str, Array], count: int) -> dict[str, Array]:
    return {name: np.resize(array, (count, *array.shape[1:])) for name, array in inputs.items()}


def _seconds(session: Session, inputs: dict[str, Array]) -> float:
    """Return the shortest of a few runs: what else the machine does only ever adds to one."""
    found = []
    for _ in range(TRIALS):
        begun = time.perf_counter()
        session.run(inputs, session.contract.outputs)
        found.append(time.perf_counter() - begun)
    return min(found)
