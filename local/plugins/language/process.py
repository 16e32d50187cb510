"""Child processes of the language host, ended together with what they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0  # as the official host waits between interrupt and kill


def descendants(pid: int) -> list[int]:
    """Return the process ids below a process, nearest first (Linux: /proc)."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Children:
    """The processes now running for the engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], folder: str | None, *, capture: bool
    ) -> subprocess.Popen[bytes]:
        """Start a program; it stays in the host's process group, which the engine ends as a whole."""
        pipe = subprocess.PIPE if capture else None
        with self._lock:
            if self._stopped:
                raise InterruptedError("the operation was cancelled before the program started")
            process = subprocess.Popen(
                list(command), env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
            self._running.add(process)
        return process

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a program and return its exit status (negative: the signal that ended it)."""
        status = process.wait()
        with self._lock:
            self._running.discard(process)
        return status

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Interrupt a program, then kill what is left of it and of what it started."""
        below = descendants(process.pid)
        _signal(process.pid, signal.SIGINT)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            below += descendants(process.pid)
            process.kill()
        for pid in below:
            _signal(pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """Stop every running program and start no other."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            self.stop(process)
