"""Runs a recipe's steps in order, each once: what is in the cache is never made again."""

import hashlib
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model_build import packages
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
    "export": "model_build.optimize.export",
    "reference": "model_build.optimize.reference",
    "quantize": "model_build.optimize.quantize",
    "gates": "model_build.gates",
    "artifact": "model_build.artifact",
}
# These run the model's own code; the others get a process in which it never ran.
RUNS_MODEL_CODE = {"data", "train", "export", "reference"}


@dataclass(frozen=True)
class StepRun:
    """A step as it went in this build: `state` is done or cached, `seconds` what it took in this build."""

    name: str
    state: str
    seconds: float
    stored: Stored


@dataclass(frozen=True)
class Built:
    """A build that passed its gates: the artifact's folder and every step."""

    artifact: Stored
    steps: tuple[StepRun, ...]

    def step(self, name: str) -> StepRun:
        """Return one step's run."""
        return next(one for one in self.steps if one.name == name)


class Pipeline(AbstractContextManager["Pipeline"]):
    """One build of one recipe; as a context it ends its workers."""

    def __init__(self, path: Path, recipe: Recipe, inputs: Inputs, store: StepStore, sink: Sink) -> None:
        self._folder = path.resolve().parent
        self._recipe = recipe
        self._inputs = inputs
        self._store = store
        self._sink = sink
        self._scratch = store.scratch()
        self._runs: list[StepRun] = []

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

    def data(self) -> Stored:
        """Return the data step's splits."""
        params = {"entry": self._recipe.data, "seed": self._recipe.seed, "sources": self._inputs.parts["data"]}
        return self._step("data", {}, params)

    def build(self) -> Built:
        """Run every step; raises the BuildError of the first that fails, GateError where a gate is missed."""
        recipe = self._recipe
        values = recipe.model_dump(mode="json")
        model = {"entry": recipe.model, "seed": recipe.seed}
        splits = self.data()
        train = self._step("train", {"data": splits}, {**model, **recipe.train.model_dump(mode="json")})
        of_train = {"data": splits, "train": train}
        exported = self._step("export", of_train, {**model, **recipe.export.model_dump(mode="json")})
        reference = self._step("reference", of_train, {**model, "batches": values["gates"]["parity"]["batches"]})
        final = exported
        if recipe.quantize is not None:
            params = {"seed": recipe.seed, **recipe.quantize.model_dump(mode="json")}
            final = self._step("quantize", {"data": splits, "export": exported}, params)
        judged = {"data": splits, "export": exported, "reference": reference, "model": final}
        self._step("gates", judged, {"gates": values["gates"]})
        named = {"name": recipe.name, "inputs_hash": self._inputs.hash}
        artifact = self._step("artifact", {"data": splits, "model": final}, named)
        return Built(artifact, tuple(self._runs))

    def _step(self, name: str, inputs: Mapping[str, Stored], params: Mapping[str, Any]) -> Stored:
        reporter = Reporter.start(self._sink, name)
        key = self._key(name, inputs, params)
        found = self._store.get(key)
        if found is None:
            waiting = "waiting for another build of this step"
            with self._store.locked(key, lambda: reporter.tell("running", 0.0, waiting)):
                found = self._store.get(key)
                if found is None:
                    made = self._make(name, key, inputs, params, reporter)
                    return self._keep(name, "done", made, reporter)
        return self._keep(name, "cached", found, reporter)

    def _keep(self, name: str, state: str, stored: Stored, reporter: Reporter) -> Stored:
        self._runs.append(StepRun(name, state, reporter.seconds, stored))
        reporter.tell("cached" if state == "cached" else "done", 1.0)
        return stored

    def _make(
        self, name: str, key: str, inputs: Mapping[str, Stored], params: Mapping[str, Any], reporter: Reporter
    ) -> Stored:
        reporter.tell("started")
        out = self._home / key
        out.mkdir()
        params = {**params, "folders": self._unpacked()} if name == "data" else params
        worker = self._model_worker if name in RUNS_MODEL_CODE else self._own_worker
        request = {
            "module": MODULES[name],
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
                f"MODELSTACK_CACHE: {self._store.root} cannot take the artifact of {name} ({error.strerror}); "
                "free some space or name another folder"
            ) from error
        except ValueError as error:
            raise BuildError(f"{name}: {error}") from error

    def _unpacked(self) -> dict[str, str]:
        folders = packages.unpack(self._recipe.sources, self._store, self._home)
        return {name: str(folder) for name, folder in folders.items()}

    def _key(self, name: str, inputs: Mapping[str, Stored], params: Mapping[str, Any]) -> str:
        return hash_value(
            {
                "step": name,
                "inputs": {alias: stored.digest for alias, stored in inputs.items()},
                "params": dict(params),
                "code": code_version(MODULES[name]),
                "environment": _environment(),
                "model sources": self._inputs.parts["model sources"] if name in RUNS_MODEL_CODE else None,
            }
        )


def _environment() -> list[str]:
    requirements = (ROOT / BUILD_REQUIREMENTS).read_bytes()
    return [hashlib.sha256(requirements).hexdigest(), platform.python_version(), platform.machine()]
