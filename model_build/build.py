"""One build from recipe to result: steps, gates, and an image where a registry is named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build import inputs as build_inputs
from model_build import pipeline, recipe, report
from model_build.cache import StepStore
from model_build.errors import RecipeError
from model_build.events import Sink
from model_build.places import cache_root


@dataclass(frozen=True)
class Order:
    """What to build; without `push` the build ends with the artifact's folder."""

    recipe: Path
    push: str | None
    base: str | None


def build(order: Order, sink: Sink) -> dict[str, Any]:
    """Build and return the result event's content; raises a BuildError that says what stopped it."""
    if order.push is not None and order.base is None:
        raise RecipeError("--base: is missing beside --push; name the base image as NAME@sha256:<64 hex digits>")
    parsed = recipe.load(order.recipe)
    inputs = build_inputs.compute(order.recipe, order.base)
    store = StepStore(cache_root())
    store.sweep()
    with pipeline.Pipeline(order.recipe, parsed, inputs, store, sink) as steps:
        built = steps.build()
    image = None
    return {
        "image": image,
        "artifact": None if image else str(built.artifact.path),
        "inputs": inputs.hash,
        "steps": report.rows(built),
        "metrics": built.step("gates").stored.facts,
        "report": report.write(built, inputs, store.root),
    }


def held_out(path: Path, sink: Sink) -> Path:
    """Return the folder that holds the recipe's splits; its `test.npz` is the held-out one."""
    parsed = recipe.load(path)
    store = StepStore(cache_root())
    store.sweep()
    with pipeline.Pipeline(path, parsed, build_inputs.compute(path, None), store, sink) as steps:
        return steps.data().path
