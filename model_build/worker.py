"""Starts the worker: a process of its own group, with an environment that holds no credentials."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from model_build.errors import BuildError, EnvironmentFault, error_of
from model_build.job import THREADS
from model_build.places import ROOT, cache_root
from model_build.protocol import receive, send

ALLOWED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
GRACE_SECONDS = 2.0


def scrubbed(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return what the worker may see of `environment`: an allow-list, a home of its own and fixed threads."""
    kept = {name: environment[name] for name in ALLOWED if name in environment}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
    return {
        **kept,
        **threads,
        # Threads that spin while they wait for each other make training five times slower on a busy machine.
        "OMP_WAIT_POLICY": "PASSIVE",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "0",
        # torch starts in half the time from bytecode, which must not lie among the model's sources.
        "PYTHONPYCACHEPREFIX": str(cache_root() / "bytecode"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


class Worker:
    """A worker process, started with the first request and ended with the block."""

    def __init__(self, home: Path, log: Path) -> None:
        self._home = home
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def run(self, request: dict[str, Any], progress: Callable[[float, str], None]) -> dict[str, Any]:
        """Run one step and return what it told; raises the step's BuildError, or one for a worker that died."""
        if self._process is None:
            self._start()
        try:
            send(self._requests, request)
            while (message := receive(self._replies)) is not None:
                if "fraction" in message:
                    progress(float(message["fraction"]), str(message["detail"]))
                    continue
                return self._outcome(message)
        except (BrokenPipeError, ValueError):
            pass
        raise self._died(request["module"])

    def end(self) -> None:
        """End the worker and everything it started."""
        process, self._process = self._process, None
        if process is not None:
            _end_group(process)
        self._files.close()

    def _start(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        requests, replies, life = os.pipe(), os.pipe(), os.pipe()
        theirs = (requests[0], replies[1], life[0])
        log = self._files.enter_context(self._log.open("ab"))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "model_build.worker_main", *(str(fd) for fd in theirs)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                env=scrubbed(os.environ, self._home),
                pass_fds=theirs,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFault(f"worker: {sys.executable} cannot be started: {error.strerror}") from error
        finally:
            for fd in theirs:
                os.close(fd)
        self._files.callback(os.close, life[1])
        self._requests = self._files.enter_context(os.fdopen(requests[1], "wb"))
        self._replies = self._files.enter_context(os.fdopen(replies[0], "rb"))

    def _outcome(self, message: dict[str, Any]) -> dict[str, Any]:
        if "error" in message:
            raise error_of(message["kind"], message["error"], message.get("facts"))
        facts: dict[str, Any] = message["facts"]
        return facts

    def _died(self, module: str) -> BuildError:
        how = _how_ended(self._process)
        self.end()
        return BuildError(f"{module}: the worker {how}; see {self._log} and check memory and the model's code")


def _how_ended(process: subprocess.Popen[bytes] | None) -> str:
    try:
        code = process.wait(GRACE_SECONDS) if process is not None else None
    except subprocess.TimeoutExpired:
        return "said what cannot be read"
    return (
        f"ended by signal {signal.Signals(-code).name}"
        if code is not None and code < 0
        else f"ended with exit code {code}"
    )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
