"""One build from recipe to result: steps, gates, and an image where a registry is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build import data, npz, packaging, pipeline, report, runtimes, weights
from model_build import inputs as build_inputs
from model_build.artifact import OUTPUTS
from model_build.bake import Parts
from model_build.cache import StepStore
from model_build.dependencies import lay_out
from model_build.errors import GateError, RecipeError, SignatureError
from model_build.events import Reporter, Sink
from model_build.inputs import Inputs
from model_build.oci.memory import Memory
from model_build.packaging import Place
from model_build.places import cache_root
from model_build.publish import PAGE_TYPE, REPORT_TYPE, Destination, publish
from model_build.recipe import GENERATION, Recipe
from model_build.recipe_runtimes import Vllm
from model_build.supply.attestations import Attestations
from model_build.supply.contents import Contents
from model_build.supply.keys import PrivateKey, private_key


@dataclass(frozen=True)
class Order:
    """What to build; without `push` the build ends with the artifact's folder, without `key` nothing is signed."""

    recipe: Path
    push: str | None
    base: str | None
    key: str | None = None


def build(order: Order, sink: Sink) -> dict[str, Any]:
    """Build and return the result event's content; raises a BuildError that says what stopped it."""
    inputs = build_inputs.compute(order.recipe, order.base)
    parsed = inputs.parsed
    store = StepStore(cache_root())
    store.sweep()
    began = datetime.now(UTC)
    # Asked before the work, so that a registry that is down or a key that does not open costs no training.
    key = _key(order)
    place = _place(order, parsed, inputs)
    made = _made(order, parsed, inputs, store, sink)
    image, runtime_image, rows = None, None, made.rows
    if place is not None:
        parts = Parts(parsed.name, made.artifact, inputs, runtimes.of(parsed), parsed.packaging)
        beside = _Beside(made.attachments(store), Attestations(_contents(parsed, parts, place, store, began), key))
        digest, further = _pushed(order, place, parts, beside, store=store, sink=sink)
        image = place.destination.image(digest)
        runtime_image = place.runtime_image(digest) if parts.packaging == "volume" else None
        rows += further
    return {
        "image": image,
        "runtime_image": runtime_image,
        "artifact": None if image else str(made.artifact),
        "inputs": inputs.hash,
        "steps": rows,
        "metrics": made.metrics,
        "report": made.written.figures,
        "page": made.written.page,
    }


@dataclass(frozen=True)
class _Made:
    """What a build made before any image: the artifact's folder, a row a step, figures and report."""

    artifact: Path
    rows: list[dict[str, Any]]
    metrics: Mapping[str, Any]
    written: report.Written

    def attachments(self, store: StepStore) -> dict[str, bytes]:
        """Return what is attached to the image, by type."""
        files = {REPORT_TYPE: self.written.figures, PAGE_TYPE: self.written.page}
        return {kind: (store.root / file).read_bytes() for kind, file in files.items() if file}


def _made(order: Order, parsed: Recipe, inputs: Inputs, store: StepStore, sink: Sink) -> _Made:
    if parsed.task == GENERATION:
        return _looked_through(order, parsed, inputs, store, sink)
    with pipeline.Pipeline(order.recipe, parsed, inputs, store, sink) as steps:
        try:
            built = steps.build()
        except GateError as error:
            written = report.write_refused(steps.refused(), error, inputs, store.root)
            raise error.reported(str(store.root / written.page)) from error
    written = report.write(built, inputs, store.root)
    return _Made(built.artifact.path, report.rows(built), built.step("gates").stored.facts, written)


def _looked_through(order: Order, parsed: Recipe, inputs: Inputs, store: StepStore, sink: Sink) -> _Made:
    """Look through weights that are served as they are; nothing is copied, the image is baked from where they lie."""
    assert isinstance(parsed.runtime, Vllm)  # noqa: S101 (no recipe of this task has another)
    folder = order.recipe.resolve().parent / str(parsed.steps[0].values["file"])
    looking = Reporter.start(sink, "load")
    looking.tell("started")
    facts = weights.inspect(folder, parsed.runtime.tensor_parallel, parsed.runtime.pipeline_parallel)
    looking.tell("done", 1.0, f"{facts['parameters'] / 1e6:.1f} million parameters")
    rows = [_row("load", looking, facts["size"])]
    return _Made(folder, rows, facts, report.write_plain(inputs, rows, facts, store.root))


@dataclass(frozen=True)
class _Beside:
    """What goes beside an image: attachments by type, and what vouches for it."""

    attachments: Mapping[str, bytes]
    attestations: Attestations


def _key(order: Order) -> PrivateKey | None:
    if order.key is None:
        return None
    if order.push is None:
        raise SignatureError("--key: is given without --push, and only what is pushed is signed; add --push")
    return private_key(order.key)


def _contents(parsed: Recipe, parts: Parts, place: Place, store: StepStore, began: datetime) -> Contents:
    laid_out = {
        lock: tuple(lay_out(lock, platform, store, lambda: None) for platform in place.bases)
        for lock in parts.runtime.wheels
    }
    return Contents(parsed, parts.inputs, place.destination.base, parts.artifact, laid_out, began, parts.runtime.native)


def _place(order: Order, parsed: Recipe, inputs: Inputs) -> Place | None:
    if order.push is None:
        return None
    if order.base is None:
        raise RecipeError("--base: is missing beside --push; name the base image as NAME@sha256:<64 hex digits>")
    destination = Destination.of(order.push, order.base, Memory(cache_root() / "pushes"))
    destination.check(inputs.tag)
    return Place(destination, order.base, {one: destination.base_for(one) for one in parsed.platforms})


def _pushed(
    order: Order, place: Place, parts: Parts, beside: _Beside, *, store: StepStore, sink: Sink
) -> tuple[str, list[dict[str, Any]]]:
    """Bake and push; returns the digest that the inputs' tag names."""
    baking = Reporter.start(sink, "bake")
    baking.tell("started")

    def require_unchanged() -> None:
        _require_unchanged(order, parts.inputs)

    drafts = packaging.drafts(parts, place, store, baking, require_unchanged=require_unchanged)
    size = sum({one.identity: one.size for draft in drafts for one in draft.contents}.values())
    baking.tell("done", 1.0, f"{size / 1e6:.1f} MB")
    require_unchanged()
    pushing = Reporter.start(sink, "push")
    pushing.tell("started")

    def told(done: int, whole: int) -> None:
        pushing.tell("running", done / max(whole, 1), f"{done / 1e6:.0f} of {whole / 1e6:.0f} MB")

    digest, own = publish(
        drafts, place.destination, parts.inputs.tag, beside.attachments, told, attestations=beside.attestations
    )
    pushing.tell("done", 1.0, "" if own else "an image of the same inputs was pushed before; it stays")
    return digest, [_row("bake", baking, size), _row("push", pushing, None)]


def _require_unchanged(order: Order, inputs: Inputs) -> None:
    """Refuse to tag an image with inputs that were edited while it was made."""
    now = build_inputs.compute(order.recipe, order.base)
    if now.hash != inputs.hash:
        said = now.reason(inputs.parts, inputs.recipe)
        raise RecipeError(f"inputs: {said} while the build ran; run it again, steps that are unchanged are kept")


def _row(name: str, reporter: Reporter, size: int | None) -> dict[str, Any]:
    seconds = round(reporter.seconds, 3)
    return {"name": name, "state": "done", "size": size, "accuracy": None, "latency_ms": None, "seconds": seconds}


def held_out(path: Path, sink: Sink) -> Mapping[str, NDArray[Any]]:
    """Return the held-out samples as a request brings them (`inputs`), and what is right.

    That is a label each (`labels`), or where nothing is labelled what the fp32 source answers (`wanted`).
    """
    decided = build_inputs.compute(path, None)
    parsed = decided.parsed
    if parsed.task == GENERATION:
        raise RecipeError(f"{path}: task: generation has no held-out split; name a recipe with gates")
    store = StepStore(cache_root())
    store.sweep()
    with pipeline.Pipeline(path, parsed, decided, store, sink) as steps:
        splits = steps.data()
        test = data.read(splits.path, "test")
        inputs = np.array(test.texts) if test.texts else test.inputs
        if len(test.labels):
            return {"inputs": inputs, "labels": test.labels}
        answers = npz.load(steps.reference(splits).path / OUTPUTS)
        return {"inputs": inputs, "wanted": answers["test"]}
