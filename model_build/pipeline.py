"""The order of a build: train, what each candidate does to the model, the search among them, gates, artifact."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model_build.artifact import CANDIDATE
from model_build.cache import StepStore, Stored
from model_build.events import Sink
from model_build.graph import TENSORFLOW_PROGRAM
from model_build.hashing import hash_file
from model_build.inputs import Inputs
from model_build.recipe import Candidate, Recipe
from model_build.recipe_runtimes import TensorFlowServing, TorchServe
from model_build.recipe_steps import Distill, Step
from model_build.runner import Runner, StepRun

# These work on labels and layers alone: another output's name or axis leaves them as they are.
UNTYPED = {"train", "prune", "separable", "distill"}


@dataclass(frozen=True)
class Built:
    """A build that passed its gates: the artifact's folder, every step, and the candidate that was chosen."""

    artifact: Stored
    steps: tuple[StepRun, ...]
    chosen: str

    def step(self, name: str) -> StepRun:
        """Return one step's run."""
        return next(one for one in self.steps if one.name == name)


@dataclass(frozen=True)
class Refused:
    """A build that missed a gate: the steps before, the one that refused and its seconds, and the candidate, if any."""

    steps: tuple[StepRun, ...]
    by: str
    seconds: float
    chosen: str


@dataclass(frozen=True)
class Made:
    """What a candidate's steps made: the torch model, its fp32 export, and the model that would be served."""

    model: Stored
    exported: Stored
    final: Stored


class Pipeline(AbstractContextManager["Pipeline"]):
    """One build of one recipe; as a context it ends its workers."""

    def __init__(self, path: Path, recipe: Recipe, inputs: Inputs, store: StepStore, sink: Sink) -> None:
        self._recipe = recipe
        self._inputs = inputs
        self._runner = Runner(path, recipe, inputs, store, sink)
        self._candidate = ""

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.__exit__(kind, error, trace)

    def data(self) -> Stored:
        """Return the data step's splits."""
        params = {"entry": self._recipe.data, "seed": self._recipe.seed, "sources": self._inputs.parts["data"]}
        return self._runner.run("data", {}, params)

    def build(self) -> Built:
        """Run every step; raises the BuildError of the first that fails, GateError where a gate is missed."""
        recipe = self._recipe
        splits = self.data()
        plain = self._plain(splits)
        tried = self._tried(splits, plain)
        chosen = self._candidate = self._chosen(splits, tried)
        self._judge(splits, plain, tried[chosen])
        named = {"name": recipe.name, "inputs_hash": self._inputs.hash, **self._task}
        served = {"data": splits, "model": tried[chosen].final, **self._program(splits, tried[chosen])}
        artifact = self._runner.run("artifact", served, named)
        return Built(artifact, tuple(self._runner.runs), chosen)

    def refused(self) -> Refused:
        """Return how far a build came that a gate stopped."""
        last = self._runner.begun
        return Refused(tuple(self._runner.runs), last.step, last.seconds, self._candidate)

    def _program(self, splits: Stored, made: Made) -> dict[str, Stored]:
        """Return what the server runs in place of ONNX, if that is something else; parity held it to ONNX already."""
        if isinstance(self._recipe.runtime, TensorFlowServing):
            return {"program": self._runner.run("saved-model", {}, self._of_source)}
        if isinstance(self._recipe.runtime, TorchServe):
            parity = self._gates["parity"]
            told = {"seed": self._recipe.seed, "batches": parity["batches"], "atol": parity["atol"]}
            return {"program": self._runner.run("program", {"data": splits, "model": made.model}, told)}
        return {}

    def reference(self, splits: Stored) -> Stored:
        """Return what the source answers on the held-out split."""
        source = self._source(splits)
        return self._reference(splits, source, source)

    def _plain(self, splits: Stored) -> Made:
        """Make the source, trained or loaded, and its fp32 export."""
        source = self._source(splits)
        if self._recipe.is_graph:
            return Made(source, source, source)
        exported = self._exported(splits, source, "source" if self._recipe.reshapes else "export")
        return Made(source, exported, exported)

    def _source(self, splits: Stored) -> Stored:
        first = self._recipe.steps[0]
        kind = "load-graph" if self._recipe.is_graph else first.name
        return self._runner.run(kind, {"data": splits}, self._of_source, first.name)

    @property
    def _of_source(self) -> dict[str, Any]:
        params = {"entry": self._recipe.model, **self._of(self._recipe.steps[0])}
        if self._recipe.load is None:
            return params
        program = hash_file(TENSORFLOW_PROGRAM) if self._recipe.load.format == "tensorflow" else None
        locks = self._inputs.parts["build requirements"]
        return {**params, "sources": self._inputs.parts["data"], "locks": locks, "program": program}

    def _reference(self, splits: Stored, source: Stored, model: Stored) -> Stored:
        told = {"seed": self._recipe.seed, "batches": self._gates["parity"]["batches"], **self._task}
        inputs = {"data": splits, "source": source, "model": model}
        if not self._recipe.is_graph:
            return self._runner.run("reference", inputs, told)
        if self._recipe.load is not None and self._recipe.load.format == "tensorflow":
            return self._runner.run("reference-tensorflow", {"data": splits}, {**self._of_source, **told}, "reference")
        return self._runner.run("reference-graph", {"data": splits, "source": source}, told, "reference")

    def _tried(self, splits: Stored, plain: Made) -> dict[str, Made]:
        """Make each candidate in turn, until the search has used up its seconds."""
        limit, began = self._recipe.search, time.monotonic()
        tried: dict[str, Made] = {}
        for candidate in self._recipe.candidates:
            if limit is None or not tried or time.monotonic() - began < limit.seconds:
                tried[candidate.name] = self._made(candidate, splits, plain)
        return tried

    def _made(self, candidate: Candidate, splits: Stored, plain: Made) -> Made:
        prefix = f"{candidate.name}/" if candidate.name else ""
        model = plain.model
        for step in candidate.reshaping:
            inputs = {"data": splits, "model": model}
            if step.distill:
                inputs["teacher"] = self._teacher(splits, step.distill, prefix) or plain.model
            model = self._runner.run(step.name, inputs, self._of(step), prefix + step.name)
        exported = plain.exported
        if candidate.reshaping:
            exported = self._exported(splits, model, f"{prefix}export")
        if candidate.quantize is None:
            return Made(model, exported, exported)
        final = self._quantized(candidate.quantize, splits, Made(model, exported, exported), prefix)
        return Made(model, exported, final)

    def _quantized(self, step: Step, splits: Stored, made: Made, prefix: str) -> Stored:
        params = self._of(step)
        if params["method"] == "qat-int8":
            params |= {"opset": self._recipe.step("export").values["opset"]}
            return self._runner.run("qat", {"data": splits, "model": made.model}, params, f"{prefix}quantize")
        return self._runner.run("quantize", {"data": splits, "export": made.exported}, params, f"{prefix}quantize")

    def _teacher(self, splits: Stored, distill: Distill, prefix: str) -> Stored | None:
        if distill.teacher is None:
            return None
        values = distill.teacher.train.model_dump(mode="json")
        named = {"entry": distill.teacher.model, "seed": self._recipe.seed, "key": "steps.distill.teacher.train"}
        return self._runner.run("train", {"data": splits}, {**named, **values}, f"{prefix}teacher")

    def _exported(self, splits: Stored, model: Stored, name: str) -> Stored:
        return self._runner.run("export", {"data": splits, "model": model}, self._of(self._recipe.step("export")), name)

    def _chosen(self, splits: Stored, tried: Mapping[str, Made]) -> str:
        if self._recipe.search is None:
            return next(iter(tried))
        inputs = {f"{CANDIDATE}{name}": made.final for name, made in tried.items()}
        not_tried = [one.name for one in self._recipe.candidates if one.name not in tried]
        params = {"gates": self._gates, "tried": list(tried), "not_tried": not_tried, **self._task}
        found = self._runner.run("search", {"data": splits, **inputs}, params)
        return str(found.facts["chosen"])

    def _judge(self, splits: Stored, plain: Made, made: Made) -> None:
        reference = self._reference(splits, plain.model, made.model)
        inputs = {"data": splits, "reference": reference, "source": plain.exported, "export": made.exported}
        self._runner.run("gates", {**inputs, "model": made.final}, {"gates": self._gates, **self._task})

    @property
    def _gates(self) -> dict[str, Any]:
        return self._recipe.gates.model_dump(mode="json")

    @property
    def _task(self) -> dict[str, Any]:
        return {"task": self._recipe.task, "dynamic_axes": list(self._recipe.dynamic_axes)}

    def _of(self, step: Step) -> dict[str, Any]:
        typed = {} if step.name in UNTYPED else self._task
        return {"seed": self._recipe.seed, "key": f"steps.{step.name}", **typed, **step.values}
