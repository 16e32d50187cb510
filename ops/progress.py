"""Says how far something is, every two seconds, on standard error; on a terminal one line that goes when it ends."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

PROGRESS_SECONDS = 2.0


class _Line:
    """One line that is due every PROGRESS_SECONDS; may be asked by several threads."""

    def __init__(self) -> None:
        self._due = time.monotonic() + PROGRESS_SECONDS
        self._shown = False
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Say it, if it is time to."""
        with self._lock:
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + PROGRESS_SECONDS
            self._shown = True
            ending = "\r" if sys.stderr.isatty() else "\n"
            print(text, end=ending, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away where it stands on a terminal."""
        if self._shown and sys.stderr.isatty():
            print("\x1b[2K", end="\r", file=sys.stderr, flush=True)


class Bytes:
    """Megabytes done and their sum, of a transfer."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._line = _Line()

    def __enter__(self) -> Bytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.clear()

    def show(self, done: int, whole: int) -> None:
        """Say that `done` bytes of `whole` are there, if it is time to."""
        self._line.say(f"{self._what} {done / 1e6:.0f} of {whole / 1e6:.0f} MB")


class Progress:
    """Things done and how many there are, as requests sent."""

    def __init__(self, subject: str, total: int, what: str = "samples sent") -> None:
        self._subject = subject
        self._total = total
        self._what = what
        self._line = _Line()

    def show(self, done: int) -> None:
        """Say that `done` are, if it is time to."""
        self._line.say(f"{self._subject}: {done}/{self._total} {self._what}")

    def clear(self) -> None:
        """Take the line away where it stands on a terminal."""
        self._line.clear()
