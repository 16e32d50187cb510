"""Runs one step after another, each once: what is in the cache is never made again."""

import hashlib
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model_build import environment, packages
from model_build.cache import StepStore, Stored
from model_build.code_version import code_version
from model_build.errors import BuildError, EnvironmentFault
from model_build.events import Reporter, Sink
from model_build.hashing import hash_value
from model_build.inputs import BUILD_REQUIREMENTS, Inputs
from model_build.places import ROOT
from model_build.recipe import Recipe
from model_build.worker import Worker

MODULES = {
    "data": "model_build.load",
    "train": "model_build.optimize.train",
    "load": "model_build.optimize.load",
    "load-graph": "model_build.graph.load",
    "prune": "model_build.optimize.prune",
    "separable": "model_build.optimize.separate",
    "distill": "model_build.optimize.distill",
    "export": "model_build.optimize.export",
    "reference": "model_build.optimize.reference",
    "reference-graph": "model_build.graph.reference",
    "reference-tensorflow": "model_build.graph.from_tensorflow",
    "quantize": "model_build.optimize.quantize",
    "qat": "model_build.optimize.qat",
    "program": "model_build.optimize.program",
    "saved-model": "model_build.graph.saved_model",
    "search": "model_build.search",
    "gates": "model_build.gates",
    "artifact": "model_build.artifact",
}
# These run the model's own code; the others get a process in which it never ran.
RUNS_MODEL_CODE = {"data", "train", "load", "prune", "separable", "distill", "export", "qat", "reference", "program"}
READS_MODEL_FOLDER = RUNS_MODEL_CODE | {"load-graph", "reference-tensorflow", "saved-model"}


@dataclass(frozen=True)
class StepRun:
    """A step as it went in this build: `state` is done or cached, `seconds` what it took in this build."""

    name: str
    state: str
    seconds: float
    stored: Stored


class Runner(AbstractContextManager["Runner"]):
    """The steps of one build, and the last that was begun; as a context it ends its workers."""

    def __init__(self, path: Path, recipe: Recipe, inputs: Inputs, store: StepStore, sink: Sink) -> None:
        self._folder = path.resolve().parent
        self._recipe = recipe
        self._inputs = inputs
        self._store = store
        self._sink = sink
        self._scratch = store.scratch()
        self.runs: list[StepRun] = []
        self.begun = Reporter.start(sink, "")

    def __enter__(self) -> Self:
        self._home = self._scratch.__enter__()
        log = self._store.root / "logs" / f"{self._recipe.name}-{self._inputs.hash[:12]}.log"
        self._model_worker = Worker(self._home / "model-home", log)
        self._own_worker = Worker(self._home / "own-home", log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._model_worker.end()
        self._own_worker.end()
        self._scratch.__exit__(kind, error, trace)

    def run(
        self, kind: str, inputs: Mapping[str, Stored], params: Mapping[str, Any], name: str | None = None
    ) -> Stored:
        """Return what a step makes of `inputs`; it is told under `name`. Raises the step's BuildError."""
        reporter = self.begun = Reporter.start(self._sink, self._free_name(name or kind))
        key = self._key(kind, inputs, params)
        found = self._store.get(key)
        if found is None:
            waiting = "waiting for another build of this step"
            with self._store.locked(key, lambda: reporter.tell("running", 0.0, waiting)):
                found = self._store.get(key)
                if found is None:
                    made = self._make(kind, key, inputs, params, reporter)
                    return self._keep("done", made, reporter)
        return self._keep("cached", found, reporter)

    def _free_name(self, name: str) -> str:
        taken = {run.name for run in self.runs}
        later = (f"{name}-{count}" for count in range(2, len(taken) + 3))
        return name if name not in taken else next(one for one in later if one not in taken)

    def _keep(self, state: str, stored: Stored, reporter: Reporter) -> Stored:
        self.runs.append(StepRun(reporter.step, state, reporter.seconds, stored))
        reporter.tell("cached" if state == "cached" else "done", 1.0)
        return stored

    def _make(
        self, kind: str, key: str, inputs: Mapping[str, Stored], params: Mapping[str, Any], reporter: Reporter
    ) -> Stored:
        reporter.tell("started")
        out = self._home / key
        out.mkdir()
        params = {**params, **self._needed(kind, params, reporter)}
        foreign = kind in RUNS_MODEL_CODE or params.get("format") == "tensorflow"
        worker = self._model_worker if foreign else self._own_worker
        request = {
            "module": MODULES[kind],
            "inputs": {alias: str(stored.path) for alias, stored in inputs.items()},
            "params": dict(params),
            "out": str(out),
            "model_folder": str(self._folder),
        }
        facts = worker.run(request, lambda fraction, detail: reporter.tell("running", fraction, detail))
        try:
            return self._store.put(key, out, seconds=reporter.seconds, facts=facts)
        except OSError as error:
            raise EnvironmentFault(
                f"MODELSTACK_CACHE: {self._store.root} cannot take the artifact of {kind} ({error.strerror}); "
                "free some space or name another folder"
            ) from error
        except ValueError as error:
            raise BuildError(f"{kind}: {error}") from error

    def _needed(self, kind: str, params: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
        """Return what a step needs of this machine, which is no part of its key."""
        reads_packages = kind == "data" or params.get("source")
        needed: dict[str, Any] = {"folders": self._unpacked()} if reads_packages else {}
        if params.get("format") == "tensorflow":
            python = environment.interpreter(environment.TENSORFLOW, lambda line: reporter.tell("running", 0.0, line))
            needed["interpreter"] = str(python)
        return needed

    def _unpacked(self) -> dict[str, str]:
        folders = packages.unpack(self._recipe.sources, self._store, self._home)
        return {name: str(folder) for name, folder in folders.items()}

    def _key(self, kind: str, inputs: Mapping[str, Stored], params: Mapping[str, Any]) -> str:
        return hash_value(
            {
                "step": kind,
                "inputs": {alias: stored.digest for alias, stored in inputs.items()},
                "params": dict(params),
                "code": code_version(MODULES[kind]),
                "environment": _environment(),
                "model sources": self._inputs.parts["model sources"] if kind in READS_MODEL_FOLDER else None,
            }
        )


def _environment() -> list[str]:
    requirements = (ROOT / BUILD_REQUIREMENTS).read_bytes()
    return [hashlib.sha256(requirements).hexdigest(), platform.python_version(), platform.machine()]
