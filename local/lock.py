"""Locks between commands: held by a process, gone with it."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.errors import LockedError


@contextmanager
def locked(path: Path, what: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock at `path`; where it is taken, say so and wait for it, or raise LockedError with `wait=False`."""
    descriptor = _acquire(path, what, wait=wait)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(path: Path, what: str, *, wait: bool) -> int:
    while True:
        # Inside the loop: its last holder may have removed the folder with it.
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(descriptor, what, path, wait=wait)
        except BaseException:
            os.close(descriptor)
            raise
        if _is_current(path, descriptor):
            return descriptor
        # Its last holder removed the file, so the lock protects nothing: take the one that is there now.
        os.close(descriptor)


def _take(descriptor: int, what: str, path: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise LockedError(f"{what}: another command works on it (lock {path}); wait until it ends") from None
        print(f"waiting for another command that works on {what}", file=sys.stderr, flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
