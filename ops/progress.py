"""Says how far a transfer is, every two seconds, on standard error."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

PROGRESS_SECONDS = 2.0


class Bytes:
    """Megabytes done and their sum; on a terminal one line that goes when it ends."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._due = time.monotonic() + PROGRESS_SECONDS
        self._shown = False
        self._lock = threading.Lock()

    def __enter__(self) -> Bytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and sys.stderr.isatty():
            print("\x1b[2K", end="\r", file=sys.stderr, flush=True)

    def show(self, done: int, whole: int) -> None:
        """Say that `done` bytes of `whole` are there, if it is time to."""
        with self._lock:
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + PROGRESS_SECONDS
            self._shown = True
            ending = "\r" if sys.stderr.isatty() else "\n"
            print(f"{self._what} {done / 1e6:.0f} of {whole / 1e6:.0f} MB", end=ending, file=sys.stderr, flush=True)
