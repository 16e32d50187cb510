"""One process of the build environment that builds for many tests: torch, which takes seconds, is imported once.

Steps run in that process rather than in workers of their own; what workers are for is tested with real ones.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from model_build.environment import build_interpreter
from model_build.places import ROOT

PROGRAM = """
import importlib, json, os, sys
from pathlib import Path
from model_build import runner
from model_build.__main__ import main
from model_build.job import Job

class InThisProcess:
    def __init__(self, home, log):
        self.home = home

    def run(self, request, progress):
        self.home.mkdir(parents=True, exist_ok=True)
        inputs = {name: Path(path) for name, path in request["inputs"].items()}
        job = Job(inputs, request["params"], Path(request["out"]), Path(request["model_folder"]), progress)
        return importlib.import_module(request["module"]).run(job)

    def end(self):
        pass

runner.Worker = InThisProcess
# The sink holds the real standard output by now; what libraries print goes elsewhere, as a worker's does.
events, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    order = json.loads(line)
    os.environ["MODELSTACK_CACHE"] = order["cache"]
    code = main(["build", "--json", "--recipe", order["recipe"]])
    print(json.dumps({"code": code}), file=events, flush=True)
"""


class Builder:
    """The process, started with the first build."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def build(self, recipe: Path, cache: Path) -> tuple[int, list[dict[str, Any]]]:
        """Build; returns the exit code and every event."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"recipe": str(recipe), "cache": str(cache)}) + "\n")
        process.stdin.flush()
        events: list[dict[str, Any]] = []
        for line in process.stdout:
            event = json.loads(line)
            if "code" in event:
                return event["code"], events
            events.append(event)
        raise AssertionError(f"the builder ended with {process.wait()}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()

    def _started(self) -> "subprocess.Popen[str]":
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
        return subprocess.Popen(
            [build_interpreter(print), "-c", PROGRAM],
            cwd=ROOT,
            env=os.environ | threads | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
