"""Requests of several clients in one run of the model.

A fast model runs on the event loop, with whatever arrived in one turn of it: handing work to a thread and back costs
more than the run. A slow model runs on a thread, one batch after the other, with whatever arrived meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model_server.contract import ModelContract, TensorSpec
from model_server.errors import RequestError, RunError, too_late, too_much
from model_server.tensors import Array

if TYPE_CHECKING:  # onnxruntime is imported while the server already answers probes
    from model_server.runtime import Run, Session

# A model measured as fast that holds the event loop up for so long, this often, moves to a thread for good.
MOST_INLINE_SECONDS = 0.05
SLOW_RUNS = 5
# What waits is at most so much of a deadline's work: under load the pace falls, and nobody shall wait in vain.
MOST_WAITING = 0.25
# How much the last run counts in the pace.
NEWEST = 0.25

Outcome = list[Array] | Exception
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is run, as measured when it was loaded: `inline` on the event loop, `most` samples at a time."""

    inline: bool
    most: int


@dataclass(eq=False, slots=True)
class Job:
    """One request's part of a batch; `done` is called once, with the outputs' arrays or the error."""

    inputs: dict[str, Array]
    outputs: tuple[TensorSpec, ...]
    deadline: float
    done: Callable[[Outcome], None]
    count: int = 1
    key: Key = ()
    answered: bool = False
    timer: asyncio.TimerHandle | None = None

    def finish(self, outcome: Outcome) -> None:
        """Answer, unless the job was answered or given up before."""
        if self.answered:
            return
        self.answered = True
        if self.timer is not None:
            self.timer.cancel()
        self.done(outcome)


class Batcher:
    """Runs the jobs of one model; all methods belong to the event loop."""

    def __init__(
        self, session: Session, plan: Plan, pool: Executor, observe: Callable[[int], None], *, deadline: float
    ) -> None:
        self._session = session
        self._inline = plan.inline
        self._slow = 0
        self._pool = pool
        self._observe = observe
        self._deadline = deadline
        self._contract = session.contract
        self._most = plan.most if stacks(session.contract) else 1
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._run: Run | None = None
        self._busy = False
        self._pace = 0.0  # seconds that a sample takes, where as many run together as may
        self._begun = 0.0
        self._crowded = False
        self._loop = asyncio.get_running_loop()

    def waiting(self) -> int:
        """Return the jobs not yet run."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Run `job` with others like it."""
        job.count = job.inputs[self._contract.inputs[0].name].shape[0]
        job.key = self._key(job)
        if not self._inline:
            if self._full():
                job.finish(self._too_much())
                return
            job.timer = self._loop.call_at(job.deadline, self._expire, job)
        self._waiting.append(job)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._turn)

    def give_up(self, job: Job) -> None:
        """Forget `job`, whose client is gone; a run that nobody waits for any more is stopped."""
        job.answered = True
        if job.timer is not None:
            job.timer.cancel()
        if self._run is not None and all(one.answered for one in self._running):
            self._run.stop()

    def close(self) -> None:
        """Stop what still runs."""
        if self._run is not None:
            self._run.stop()

    def require_room(self) -> None:
        """Raise RequestError (429) where more waits already than can be run in good time."""
        if self._full():
            raise self._too_much()

    def _full(self) -> bool:
        if not self._pace:  # as ever where it runs inline: a turn leaves nothing waiting
            return False
        waiting = sum(job.count for job in self._waiting if not job.answered)
        return self._pace * waiting > MOST_WAITING * self._deadline

    def _too_much(self) -> RequestError:
        return too_much(MOST_WAITING * self._deadline)

    def _measured(self, pace: float) -> None:
        # A run of few that left nobody waiting says what a sample costs at most: with more it costs each of them less.
        if not self._crowded:
            self._pace = min(self._pace, pace)
        else:
            self._pace = NEWEST * pace + (1 - NEWEST) * self._pace if self._pace else pace

    def _expire(self, job: Job) -> None:
        # Fewer samples would not have helped one whose turn never came.
        job.finish(too_late(self._deadline) if job in self._running else self._too_much())
        self.give_up(job)

    def _key(self, job: Job) -> Key:
        """Return what jobs of one batch share: outputs asked for and the shape of a sample."""
        outputs = None if job.outputs is self._contract.outputs else tuple(spec.name for spec in job.outputs)
        if self._contract.tokens is not None:
            # Texts are padded to the longest of the batch, so one long text would make all others as dear.
            texts = job.inputs[self._contract.inputs[0].name]
            return (outputs, max(map(len, texts)).bit_length())
        return (outputs, *[job.inputs[spec.name].shape[1:] for spec in self._contract.inputs])

    def _turn(self) -> None:
        batch = self._next_batch()
        if not batch:
            self._busy = False
            return
        count = sum(job.count for job in batch)
        self._observe(count)
        if self._inline:
            self._run_here(batch)
            return
        self._crowded = count >= self._most or bool(self._waiting)
        self._running, self._run, self._begun = batch, self._session.new_run(), self._loop.time()
        future = self._pool.submit(outcomes, self._session, batch, self._run)
        future.add_done_callback(self._ended_elsewhere)

    def _run_here(self, batch: list[Job]) -> None:
        begun = self._loop.time()
        found = outcomes(self._session, batch, None)
        if self._loop.time() - begun > MOST_INLINE_SECONDS:
            # Slower than it was measured: its time depends on the values, or the machine is starved.
            self._slow += 1
            self._inline = self._slow < SLOW_RUNS
        self._finish(batch, found)
        self._loop.call_soon(self._turn)

    def _ended_elsewhere(self, future: Future[list[Outcome]]) -> None:
        # The loop is gone where the run ends after the server did; nobody waits then.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended, future)

    def _ended(self, future: Future[list[Outcome]]) -> None:
        batch, self._running, self._run = self._running, [], None
        self._measured((self._loop.time() - self._begun) / max(1, sum(job.count for job in batch)))
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            failed = RunError(f"{type(error).__name__}: {error}")
            self._finish(batch, [failed] * len(batch))
        else:
            self._finish(batch, future.result())
        self._turn()

    def _finish(self, batch: list[Job], found: Sequence[Outcome]) -> None:
        for job, outcome in zip(batch, found, strict=True):
            job.finish(outcome)

    def _next_batch(self) -> list[Job]:
        """Take the oldest job and what may run with it; what came too late is answered so."""
        waiting = self._waiting
        batch: list[Job] = []
        passed: list[Job] = []
        samples, now = 0, self._loop.time()
        while waiting and samples < self._most:
            job = waiting.popleft()
            if job.answered or job.deadline < now:
                job.finish(self._too_much())
            elif not batch or (job.key == batch[0].key and samples + job.count <= self._most):
                batch.append(job)
                samples += job.count
            else:
                passed.append(job)
        waiting.extendleft(reversed(passed))
        return batch


def stacks(contract: ModelContract) -> bool:
    """Return whether samples of several requests may be run at once: each tensor's first dimension is free."""
    return all(spec.shape[0] == -1 for spec in (*contract.inputs, *contract.outputs))


def outcomes(session: Session, batch: Sequence[Job], run: Run | None) -> list[Outcome]:
    """Run `batch`; where that fails each job runs alone, so that one bad request fails by itself."""
    try:
        return list(_run(session, batch, run))
    except RunError as error:
        if len(batch) == 1 or (run is not None and run.stopped):
            return [error] * len(batch)
    return [one for job in batch for one in outcomes(session, [job], run)]


def _run(session: Session, batch: Sequence[Job], run: Run | None) -> list[list[Array]]:
    outputs = batch[0].outputs
    if len(batch) == 1:
        return [session.run(batch[0].inputs, outputs, run)]
    names = list(batch[0].inputs)
    stacked = {name: np.concatenate([job.inputs[name] for job in batch]) for name in names}
    arrays = session.run(stacked, outputs, run)
    samples = sum(job.count for job in batch)
    if any(len(array) != samples for array in arrays):
        raise RunError(f"{samples} samples went in, {[len(array) for array in arrays]} came out")
    found, at = [], 0
    for job in batch:
        found.append([array[at : at + job.count] for array in arrays])
        at += job.count
    return found
