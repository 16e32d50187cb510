"""Answers kept: equal inputs to one version of a model are computed once, also where they arrive together."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from model_server.batching import Job, Outcome
from model_server.errors import RequestError
from model_server.metrics import Counted
from model_server.tensors import Array

Submit = Callable[[Job], None]
MOST_OF_ALL = 16  # one answer takes at most this part of the whole


@dataclass(slots=True)
class Memory:
    """Arrays by key, at most `limit` bytes of them; what was not asked for longest goes first."""

    limit: int
    held: int = 0
    entries: OrderedDict[bytes, list[Array]] = field(default_factory=OrderedDict)

    def get(self, key: bytes) -> list[Array] | None:
        """Return what lies under `key`."""
        found = self.entries.get(key)
        if found is not None:
            self.entries.move_to_end(key)
        return found

    def put(self, key: bytes, arrays: list[Array]) -> None:
        """Keep `arrays`, unless they are too large to share the room."""
        size = _size(arrays)
        if size > self.limit // MOST_OF_ALL or key in self.entries:
            return
        self.entries[key] = arrays
        self.held += size
        while self.held > self.limit:
            _, gone = self.entries.popitem(last=False)
            self.held -= _size(gone)


class Shared(Protocol):
    """A cache that several servers share; what it cannot give in time it does not have."""

    def usable(self) -> bool:
        """Return whether to ask at all."""

    async def get(self, key: bytes) -> list[Array] | None:
        """Return what lies under `key`."""

    def put(self, key: bytes, arrays: list[Array]) -> None:
        """Keep `arrays` under `key`."""


@dataclass(frozen=True, slots=True)
class Caches:
    """Where answers are kept: in this server's memory, and where configured in a cache that servers share."""

    memory: Memory
    shared: Shared | None = None


class CachedBatcher:
    """Answers from memory, or lets one job of several equal ones run and gives its outcome to all."""

    def __init__(self, salt: str, memory: Memory, run: Submit, counts: Counted, shared: Shared | None = None) -> None:
        self._salt = salt.encode()
        self._memory = memory
        self._shared = shared
        self._asking: set[asyncio.Task[None]] = set()
        self._run = run
        self._counts = counts
        self._flights: dict[bytes, list[Job]] = {}

    def add(self, job: Job) -> None:
        """Answer `job`."""
        key = key_of(self._salt, job)
        found = self._memory.get(key)
        if found is not None:
            self._counts.hit()
            job.finish(found)
            return
        flight = self._flights.get(key)
        if flight is not None:
            self._counts.hit()
            flight.append(job)
            return
        self._flights[key] = [job]
        if self._shared is None or not self._shared.usable():
            self._compute(key, job)
            return
        task = asyncio.get_running_loop().create_task(self._ask(self._shared, key, job))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, shared: Shared, key: bytes, job: Job) -> None:
        found = await shared.get(key)
        # An entry of another make than this version's answers is no entry.
        if found is None or len(found) != len(job.outputs):
            self._compute(key, job, shared)
            return
        self._counts.hit()
        self._memory.put(key, found)
        self._end(key, found)

    def _compute(self, key: bytes, job: Job, shared: Shared | None = None) -> None:
        self._counts.miss()
        self._run(Job(job.inputs, job.outputs, job.deadline, lambda outcome: self._landed(key, outcome, shared)))

    def _landed(self, key: bytes, outcome: Outcome, shared: Shared | None) -> None:
        if isinstance(outcome, list):
            # A slice would keep the whole batch's array alive.
            outcome = [array.copy() for array in outcome]
            self._memory.put(key, outcome)
            if shared is not None:
                shared.put(key, outcome)
        self._end(key, outcome)

    def _end(self, key: bytes, outcome: Outcome) -> None:
        first, *others = self._flights.pop(key)
        first.finish(outcome)
        for job in others:
            if isinstance(outcome, RequestError):  # the first one's deadline is not the others'
                self.add(job)
            else:
                job.finish(outcome)


def key_of(salt: bytes, job: Job) -> bytes:
    """Return 16 bytes that stand for a version's answer to these inputs: BLAKE2b of all that decides it."""
    digest = hashlib.blake2b(salt, digest_size=16)
    digest.update(repr([spec.name for spec in job.outputs]).encode())
    for name in sorted(job.inputs):
        array = job.inputs[name]
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        if array.dtype.hasobject:
            digest.update(repr(array.tolist()).encode())
        else:
            digest.update(array.tobytes())
    return digest.digest()


def _size(arrays: list[Array]) -> int:
    return sum(array.nbytes for array in arrays) + 200
