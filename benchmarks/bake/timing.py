"""Whole processes, timed with the memory that they came to."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.005


class FailedError(Exception):
    """A program did not do its work; the message says which and why."""


@dataclass(frozen=True)
class Run:
    """Seconds of a program from start to end, and the bytes of memory that its largest process came to."""

    seconds: float
    peak: int


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None, folder: Path | None = None) -> Run:
    """Run a program to its end; raises FailedError where it ends badly."""
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _high_water(process.pid))
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - began
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise FailedError(f"{Path(command[0]).name}: {lines[-1][:300]}")
    return Run(seconds, peak)


def _high_water(pid: int) -> int:
    # The kernel's figure for a child that ended counts what its parent had when it was begun.
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1024
    return 0


def emptied(data: Path) -> None:
    """Drop what a registry keeps, and write to the disk what still waits for it: the next run pays for itself alone."""
    shutil.rmtree(data, ignore_errors=True)
    os.sync()


def held(data: Path) -> int:
    """Return the bytes of blobs that a registry keeps."""
    return sum(path.stat().st_size for path in data.rglob("blobs/*/*/*/data"))
