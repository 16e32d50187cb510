"""How fast a model is here: whether it runs on the event loop, and how many samples at a time pay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from model_server.batching import Plan, stacks
from model_server.contract import ModelContract
from model_server.tensors import Array

if TYPE_CHECKING:
    from model_server.runtime import Session

# Handing a batch to a thread and its answer back costs some 0.1 ms; a run must stay short beside what it delays.
INLINE_SECONDS = 0.001
TURN_SECONDS = 0.004
TRIALS = 5
# A run of another size than the last one's takes this many times as long, and this much longer, where that is dear.
DEAR, DEAR_SECONDS = 3.0, 0.001
# What is prepared for one size takes the smallest that answers nearly as many samples a second as the best.
ENOUGH, LONGEST_SECONDS = 0.8, 0.05


def settled(session: Session, inputs: dict[str, Array], limit: int) -> int:
    """Settle `session` on one size of a batch where changes are dear; returns the most samples of a run.

    CUDA prepares convolutions anew, for a tenth of a second, whenever a batch has another size than the one before.
    """
    contract = session.contract
    if limit < 2 or not stacks(contract) or not _sized(contract) or not _changes_are_dear(session, inputs):
        return limit
    size = _smallest_that_pays(session, inputs, limit)
    session.settle(size)
    for count in (1, size):
        session.run(_samples(inputs, count), contract.outputs)
    return size


def _changes_are_dear(session: Session, inputs: dict[str, Array]) -> bool:
    changed, again = [], []
    session.run(_samples(inputs, 1), session.contract.outputs)
    for count in (2, 1) * 2:
        samples = _samples(inputs, count)
        changed.append(_seconds(session, samples, 1))
        again.append(_seconds(session, samples))
    return min(changed) > max(DEAR * max(again), DEAR_SECONDS + max(again))


def _smallest_that_pays(session: Session, inputs: dict[str, Array], limit: int) -> int:
    rates: dict[int, float] = {}
    count, seconds = 2, 0.0
    while count <= limit and seconds < LONGEST_SECONDS:
        samples = _samples(inputs, count)
        session.run(samples, session.contract.outputs)
        seconds = _seconds(session, samples)
        rates[count] = count / seconds
        count *= 2
    enough = ENOUGH * max(rates.values())
    return min(size for size, rate in rates.items() if rate >= enough)


def plan(session: Session, inputs: dict[str, Array], limit: int) -> Plan:
    """Return how to run `session`, which is measured on samples of `inputs`, at most `limit` samples at a time."""
    contract = session.contract
    if not stacks(contract):
        return Plan(inline=False, most=1)
    # Where a request says how large a sample is, a small one tells nothing of the next.
    alone = _seconds(session, _samples(inputs, 1)) if _sized(contract) else INLINE_SECONDS
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


def _sized(contract: ModelContract) -> bool:
    return contract.tokens is None and all(-1 not in spec.shape[1:] for spec in contract.inputs)


def _samples(inputs: dict[str, Array], count: int) -> dict[str, Array]:
    return {name: np.resize(array, (count, *array.shape[1:])) for name, array in inputs.items()}


def _seconds(session: Session, inputs: dict[str, Array], trials: int = TRIALS) -> float:
    """Return the shortest of a few runs: what else the machine does only ever adds to one."""
    found = []
    for _ in range(trials):
        begun = time.perf_counter()
        session.run(inputs, session.contract.outputs)
        found.append(time.perf_counter() - begun)
    return min(found)
