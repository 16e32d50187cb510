"""A server's process: started on a core of its own, timed until its first right answer, weighed, ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quiet import cpu_seconds
from benchmarks.serve.asking import Digits, Scores, Way
from benchmarks.serve.contenders import Contender
from local.alone import free_port

START_SECONDS = 60.0
END_SECONDS = 10.0
POLL_SECONDS = 0.005
AT_ONCE = 8
TOLERANCE = 1e-4
# In the environment of a server and all that it starts.
MARK = "MODELSTACK_BENCHMARK"
# Every server starts from bytecode, as in an image.
WITHHELD = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")


class FailedError(Exception):
    """A server did not do its work; the message says which and why."""


@dataclass(frozen=True)
class Truth:
    """Samples (digits are [1, 1, 8, 8]), onnxruntime's own scores for them, and by how much an answer may differ."""

    digits: Sequence[Digits]
    scores: Sequence[Scores]
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Server:
    """A server that answers; `seconds` from its start to its first right answer."""

    process: subprocess.Popen[bytes]
    mark: str
    port: int
    way: Way
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes that its processes hold, what they share counted once."""
        return sum(_proportional(pid) for pid in _processes(self.mark))

    @property
    def cpu_seconds(self) -> float:
        """CPU that its processes have taken."""
        return sum(cpu_seconds(pid) for pid in _processes(self.mark))

    def check(self, truth: Truth) -> None:
        """Ask for every digit, several at once as batches are; raises FailedError where an answer is wrong."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda digit: _asked(self.port, self.way, digit), truth.digits))
        for answer, scores in zip(answers, truth.scores, strict=True):
            require(answer, scores, truth.tolerance)


@contextlib.contextmanager
def serving(contender: Contender, cores: int | str, truth: Truth, log: Path) -> Iterator[Server]:
    """Yield a contender that has answered rightly on `cores` (a core, or a list as taskset reads it).

    Raises FailedError where it does not within START_SECONDS.
    """
    port = free_port()
    start = contender.start(port)
    mark = uuid.uuid4().hex
    environment = {key: value for key, value in os.environ.items() if key not in WITHHELD} | {MARK: mark}
    alone = ["setpriv", "--pdeathsig", "KILL", "taskset", "--cpu-list", str(cores)]
    command: list[str | Path] = [*alone, *start.command]
    with log.open("wb") as said:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env=environment | dict(start.environment),
            cwd=start.folder or log.parent,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        _await(process, port, contender.way, truth, log)
        yield Server(process, mark, port, contender.way, time.monotonic() - began)
    finally:
        _end(process, mark)


def _await(process: subprocess.Popen[bytes], port: int, way: Way, truth: Truth, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        answer = asked_early(port, way, truth.digits[0])
        if answer is not None:
            require(answer, truth.scores[0], truth.tolerance)
            return
        time.sleep(POLL_SECONDS)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["no message"]
    how = f"gave no answer within {START_SECONDS:.0f} s" if process.poll() is None else "ended before it answered"
    raise FailedError(f"{how}: {lines[-1][:300]}")


def asked_early(port: int, way: Way, digit: Digits) -> Scores | None:
    """Return a server's answer, None while it refuses connections or requests."""
    with contextlib.suppress(OSError, http.client.HTTPException, FailedError):
        return _asked(port, way, digit)
    return None


def _asked(port: int, way: Way, digit: Digits) -> Scores:
    asked = way.write(digit)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", way.path, asked.body, dict(asked.headers))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise FailedError(f"{answer.status}: {body[:300].decode(errors='replace')}")
    return way.scores(body, {name.lower(): value for name, value in answer.getheaders()})


def require(answer: Scores, wanted: Scores, tolerance: float = TOLERANCE) -> None:
    """Raise FailedError where an answer is not the truth."""
    if answer.shape != wanted.shape or not np.allclose(answer, wanted, rtol=0, atol=tolerance):
        raise FailedError(f"answers {answer} where onnxruntime answers {wanted}")


def _processes(mark: str) -> list[int]:
    """Return the processes that a server started, itself among them, in whatever sessions they are."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
    return found


def _proportional(pid: int) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) * 1024
    return 0


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    _signalled(mark, signal.SIGTERM)
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until and (process.poll() is None or _processes(mark)):
        time.sleep(0.05)
    _signalled(mark, signal.SIGKILL)
    process.wait()


def _signalled(mark: str, number: signal.Signals) -> None:
    for pid in _processes(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
