"""A whole build of one of the project's recipes, and the models that it started from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from model_build import data, inputs, pipeline, recipe
from model_build.artifact import MODEL
from model_build.cache import StepStore
from model_build.events import Sink
from model_build.job import Job
from model_build.optimize import structure
from model_build.pipeline import Built
from model_build.places import ROOT, cache_root
from model_build.recipe import Recipe
from model_build.tasks import TASKS, Task

# The one that leaves the choice among int8 and a distilled student to the search.
RECIPES = {"digits": "digits/recipe-searched.yaml", "mnist": "mnist/recipe-searched.yaml"}
SHARED = ("data", "train", "load", "source", "reference", "gates", "artifact")


@dataclass(frozen=True)
class Ours:
    """A build that passed its gates: the recipe, its data, the fp32 export, the torch model and what is served."""

    recipe: Recipe
    built: Built
    splits: Path
    fp32: Path
    served: Path
    source: nn.Module

    @property
    def task(self) -> Task:
        """What the model is for."""
        return TASKS[self.recipe.task]

    @property
    def seconds(self) -> float:
        """What optimizing took: every step but those that an fp32 model needs too."""
        return sum(run.stored.seconds for run in self.built.steps if run.name not in SHARED)

    def split(self, name: str) -> data.Split:
        """Return one split."""
        return data.read(self.splits, name)


def build(model: str, seed: int, sink: Sink) -> Ours:
    """Build a model of the project with a seed; steps that are in the cache stay."""
    path = ROOT / "models" / RECIPES.get(model, f"{model}/recipe.yaml")
    parsed = recipe.load(path).model_copy(update={"seed": seed})
    with pipeline.Pipeline(path, parsed, inputs.compute(path, None), StepStore(cache_root()), sink) as steps:
        built = steps.build()
    first = "load" if parsed.load else "train"
    exported = "source" if any(run.name == "source" for run in built.steps) else "export"
    splits, trained = built.step("data").stored.path, built.step(first).stored.path
    with tempfile.TemporaryDirectory() as folder:
        job = Job({"data": splits, "model": trained}, {}, Path(folder), path.parent, lambda *_: None)
        _, source = structure.load(job)
    fp32 = built.step(exported).stored.path / MODEL
    return Ours(parsed, built, splits, fp32, built.artifact.path / MODEL, source)
