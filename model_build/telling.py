"""A program that takes a while: told of as it goes, and ended where whoever waits for it stops."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_build.errors import EnvironmentFault

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """A command, what to say of it meanwhile and how often, and what to do where it cannot be started."""

    command: Sequence[str]
    what: str
    environment: Mapping[str, str]
    every: float = 1.0
    """Seconds."""
    remedy: str = "install it"
    folder: Path | None = None
    held: tuple[int, ...] = ()
    """File descriptors that it keeps, a lock's for instance."""


@dataclass(frozen=True)
class Ended:
    """A program's exit code, and the lines that it said last."""

    code: int
    lines: tuple[str, ...]


def run(program: Program, tell: Tell) -> Ended:
    """Run a program to its end; what `tell` raises ends it. Raises EnvironmentFault where it cannot be started."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said, _started(program, said.fileno()) as process:
        while (code := _code(process, program.every)) is None:
            last = "".join(f", {line}" for line in _lines(said.fileno())[-1:])
            tell(f"{program.what}: {time.monotonic() - began:.0f} s{last}")
        return Ended(code, _lines(said.fileno()))


@contextlib.contextmanager
def _started(program: Program, said: int) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            program.command,
            cwd=program.folder,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=program.held,
        )
    except OSError as error:
        raise EnvironmentFault(
            f"{program.command[0]}: cannot be started ({error.strerror}); {program.remedy}"
        ) from error
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _code(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _lines(said: int) -> tuple[str, ...]:
    text = os.pread(said, 1_000_000, 0).decode(errors="replace")
    return tuple(line.strip() for line in text.splitlines() if line.strip())
