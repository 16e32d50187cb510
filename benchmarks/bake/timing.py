"""Whole processes, timed with the memory that they came to."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise FailedError(f"{Path(command[0]).name}: {lines[-1][:300]}")
    return Run(seconds, used.ru_maxrss * 1024)


def emptied(data: Path) -> None:
    """Drop what a registry keeps, and write to the disk what still waits for it: the next run pays for itself alone."""
    shutil.rmtree(data, ignore_errors=True)
    os.sync()


def held(data: Path) -> int:
    """Return the bytes of blobs that a registry keeps."""
    return sum(path.stat().st_size for path in data.rglob("blobs/*/*/*/data"))
