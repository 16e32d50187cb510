"""Answers kept: equal inputs to one version of a model are computed once, also where they arrive together."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

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


class CachedBatcher:
    """Answers from memory, or lets one job of several equal ones run and gives its outcome to all."""

    def __init__(self, salt: str, memory: Memory, run: Submit, counts: Counted) -> None:
        self._salt = salt.encode()
        self._memory = memory
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
        self._counts.miss()
        self._flights[key] = [job]
        self._run(Job(job.inputs, job.outputs, job.deadline, lambda outcome: self._landed(key, outcome)))

    def _landed(self, key: bytes, outcome: Outcome) -> None:
        first, *others = self._flights.pop(key)
        if isinstance(outcome, list):
            # A slice would keep the whole batch's array alive.
            outcome = [array.copy() for array in outcome]
            self._memory.put(key, outcome)
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
