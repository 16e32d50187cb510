"""The recipe: what a model is built from, in which steps and behind which gates."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from model_build import recipe_order, recipe_runtimes, recipe_yaml
from model_build.errors import RecipeError
from model_build.recipe_errors import explain
from model_build.recipe_runtimes import OnnxRuntime, Packaging, Runtime
from model_build.recipe_sources import InstalledSource, Source
from model_build.recipe_steps import GRAPH, OF_FACTORY, EntryPoint, Frozen, Load, Name, Share, Step

MAX_STEPS = 12
# Task → the gate that it needs, and those that say nothing about it.
TASK_GATES = {
    "classification": ("min_accuracy", ("min_cosine", "min_agreement")),
    "embedding": ("min_cosine", ("min_accuracy", "max_drop")),
}
GENERATION = "generation"
RESHAPING = ("prune", "separable", "distill")


class Parity(Frozen):
    """How near the exported model must be to its source, in absolute logits."""

    atol: float = Field(default=1e-4, gt=0, le=1)
    batches: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(1, 2, 7), min_length=2, max_length=16)

    @field_validator("batches")
    @classmethod
    def _differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names a batch twice; name different batches, such as [1, 2, 7]")
        return value


class Gates(Frozen):
    """Limits the final artifact must keep on the held-out split."""

    min_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    min_cosine: Annotated[float, Field(gt=0, le=1)] | None = None
    min_agreement: Share | None = None
    max_drop: Share | None = None
    max_size_ratio: Annotated[float, Field(gt=0, le=10)] | None = None
    max_latency_ms: Annotated[float, Field(gt=0, le=600_000)] | None = None
    min_speedup: Annotated[float, Field(gt=0, le=1000)] | None = None
    parity: Parity = Parity()


class Search(Frozen):
    """Candidates besides fp32: of those that keep the gates on validation the fastest goes on to the gates."""

    seconds: float = Field(default=900.0, gt=0, le=86_400, description="after them no further candidate is begun")
    candidates: Mapping[Name, Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]] = Field(
        min_length=1, max_length=32
    )

    @field_validator("candidates")
    @classmethod
    def _leave_fp32(cls, value: Mapping[str, tuple[Step, ...]]) -> Mapping[str, tuple[Step, ...]]:
        if "fp32" in value:
            raise ValueError("names a candidate 'fp32', which is always tried; remove it")
        return value


@dataclass(frozen=True)
class Candidate:
    """A model that may be served: what is done to the trained one, and how the export is quantized."""

    name: str
    reshaping: tuple[Step, ...]
    quantize: Step | None

    @classmethod
    def of(cls, name: str, steps: tuple[Step, ...]) -> "Candidate":
        """Return the candidate of a list of steps."""
        reshaping = tuple(step for step in steps if step.name in RESHAPING)
        return cls(name, reshaping, next((step for step in steps if step.quantize), None))


class Recipe(Frozen):
    """A whole recipe, version 1."""

    version: Literal[1]
    name: Name
    task: Literal["classification", "embedding", "generation"] = "classification"
    model: EntryPoint | None = None
    data: EntryPoint | None = None
    sources: tuple[Source, ...] = Field(default=(), max_length=16)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)
    search: Search | None = None
    gates: Gates
    runtime: Runtime = OnnxRuntime(name="onnxruntime")
    packaging: Packaging = "baked"
    platforms: tuple[Literal["linux/amd64", "linux/arm64"], ...] = Field(default=("linux/amd64",), min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.search is None:
            recipe_order.require(self.steps)
        else:
            recipe_order.require_search(self.steps, self.search.candidates)
        return self

    @model_validator(mode="after")
    def _has_its_factory(self) -> Self:
        kind = self.load.format if self.load else "module"
        if kind in OF_FACTORY and self.model is None:
            raise ValueError("has no model; name its factory as `model: model.py:build`")
        if kind not in OF_FACTORY and self.model is not None:
            raise ValueError(f"has a model, which a source of format {kind} does not use; remove it")
        return self

    @model_validator(mode="after")
    def _fits_its_runtime(self) -> Self:
        recipe_runtimes.require_source(self.runtime, [step for _, step in self._keyed_steps()])
        recipe_runtimes.require_packaging(self.runtime, self.packaging)
        return self

    @model_validator(mode="after")
    def _has_what_its_task_needs(self) -> Self:
        weights = self.load is not None and self.load.format == "huggingface"
        if weights != (self.task == GENERATION):
            wanted = "write `task: generation`" if weights else "load a folder of format huggingface"
            raise ValueError(f"has task {self.task} and {self.steps[0].name}, which do not go together; {wanted}")
        if self.task == GENERATION:
            named = [name for name in ("data", "sources", "search") if getattr(self, name)]
            if named or self.gates != Gates():
                raise ValueError(f"has {(*named, 'gates')[0]}, which nothing measures text by here; remove it")
            return self
        if self.data is None:
            raise ValueError("has no data; name its loader as `data: data.py:load`")
        return self._has_the_gates_of_its_task()

    def _has_the_gates_of_its_task(self) -> Self:
        wanted, foreign = TASK_GATES[self.task]
        if getattr(self.gates, wanted) is None:
            raise ValueError(f"has no gates.{wanted}, which a task of {self.task} needs; add it")
        named = [name for name in foreign if getattr(self.gates, name) is not None]
        if named:
            raise ValueError(f"has gates.{named[0]}, which a task of {self.task} cannot measure; remove it")
        learning = [key for key, step in self._keyed_steps() if step.learns]
        if self.task == "embedding" and learning:
            raise ValueError(f"has {learning[0]}, which trains on labels that a task of embedding has not; remove it")
        return self

    @field_validator("platforms", "sources")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [getattr(one, "package", one) for one in value]
        if len(set(names)) != len(names):
            raise ValueError("names one thing twice; name each once")
        return value

    def entries(self) -> Iterator[tuple[str, str]]:
        """Yield each entry point with its key."""
        if self.model:
            yield "model", self.model
        if self.data:
            yield "data", self.data
        for key, step in self._keyed_steps():
            if step.distill and step.distill.student:
                yield f"{key}.distill.student", step.distill.student
            if step.distill and step.distill.teacher:
                yield f"{key}.distill.teacher.model", step.distill.teacher.model

    def _keyed_steps(self) -> Iterator[tuple[str, Step]]:
        lists = {"steps": self.steps}
        if self.search is not None:
            lists |= {f"search.candidates.{name}": steps for name, steps in self.search.candidates.items()}
        for key, steps in lists.items():
            yield from ((f"{key}[{index}]", step) for index, step in enumerate(steps))

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What may be served: the steps' own result, or where there is a search fp32 and each of its candidates."""
        if self.search is None:
            return (Candidate.of("", self.steps),)
        named = self.search.candidates.items()
        return (Candidate("fp32", (), None), *(Candidate.of(name, steps) for name, steps in named))

    @property
    def reshapes(self) -> bool:
        """Whether a candidate is another torch model than the one that was trained."""
        return any(one.reshaping for one in self.candidates)

    @model_validator(mode="after")
    def _loads_from_a_known_source(self) -> Self:
        named = self.load.source if self.load else None
        known = [one.package for one in self.sources if not isinstance(one, InstalledSource)]
        if named is not None and named not in known:
            raise ValueError(
                f"has load.source {named!r}, which sources do not fetch; add it there, or correct the name"
            )
        return self

    @property
    def load(self) -> Load | None:
        """What the recipe loads; None where it trains."""
        return self.steps[0].load

    @property
    def dynamic_axes(self) -> tuple[int, ...]:
        """Axes of the input, besides the batch, that may have any length."""
        export = next((step.export for step in self.steps if step.export), None)
        found = self.load.dynamic_axes if self.load is not None and self.is_graph else ()
        return found if export is None else export.dynamic_axes

    @property
    def is_graph(self) -> bool:
        """Whether the source is an ONNX graph (or becomes one), which torch never sees."""
        return self.load is not None and self.load.format in GRAPH

    def step(self, name: str) -> Step:
        """Return the step of that name; every recipe but that of a graph has export."""
        return next(step for step in self.steps if step.name == name)


def load(path: Path) -> Recipe:
    """Return the recipe at `path`; raises RecipeError with file, key path, value, limit and remedy."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); name a recipe.yaml that exists") from error
    recipe = parse(text, str(path))
    for key, entry in recipe.entries():
        _require_inside(path, key, entry)
    if recipe.load is not None and recipe.load.file is not None and recipe.load.source is None:
        _require_inside(path, "steps[0].load.file", recipe.load.file)
    return recipe


def parse(text: bytes, where: str) -> Recipe:
    """Return the recipe in `text`; `where` names it in errors. Raises RecipeError."""
    try:
        document = recipe_yaml.parse(text)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{where}: is no mapping; start with `version: 1`")
    try:
        return Recipe.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, document)}") from error
    except ValueError as error:
        raise RecipeError(f"{where}: {error}; write plain text and numbers") from error


def _require_inside(path: Path, key: str, entry: str) -> None:
    folder = path.resolve().parent
    target = (folder / entry.partition(":")[0]).resolve()
    if not target.is_relative_to(folder):
        raise RecipeError(f"{path}: {key}: {entry!r} leaves the model's folder {folder}; keep the file inside it")
    if not target.exists():
        raise RecipeError(f"{path}: {key}: {entry!r} names no file in {folder}; write the file or correct the name")
