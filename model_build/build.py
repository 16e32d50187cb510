"""One build from recipe to result: steps, gates, and an image where a registry is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_build import data, npz, pipeline, recipe, report
from model_build import inputs as build_inputs
from model_build.artifact import OUTPUTS
from model_build.bake import Parts, bake
from model_build.cache import StepStore
from model_build.dependencies import lay_out
from model_build.errors import RecipeError, SignatureError
from model_build.events import Reporter, Sink
from model_build.inputs import Inputs
from model_build.oci.image import Base
from model_build.oci.memory import Memory
from model_build.places import ROOT, cache_root
from model_build.publish import PAGE_TYPE, REPORT_TYPE, Destination, publish
from model_build.recipe import Recipe
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
    parsed = recipe.load(order.recipe)
    inputs = build_inputs.compute(order.recipe, order.base)
    store = StepStore(cache_root())
    store.sweep()
    # Asked before the work, so that a registry that is down or a key that does not open costs no training.
    target = _Target.of(order, parsed, inputs)
    with pipeline.Pipeline(order.recipe, parsed, inputs, store, sink) as steps:
        built = steps.build()
    written = report.write(built, inputs, store.root)
    rows = report.rows(built)
    image = None
    if target is not None:
        image, further = _image(target, Parts(parsed.name, built.artifact.path, inputs), store, written, sink)
        rows += further
    return {
        "image": image,
        "artifact": None if image else str(built.artifact.path),
        "inputs": inputs.hash,
        "steps": rows,
        "metrics": built.step("gates").stored.facts,
        "report": written.figures,
        "page": written.page,
    }


@dataclass(frozen=True)
class _Target:
    """Where the image of an order goes, with the base of each platform and the key that signs."""

    order: Order
    recipe: Recipe
    destination: Destination
    bases: Mapping[str, Base]
    key: PrivateKey | None
    began: datetime

    @classmethod
    def of(cls, order: Order, parsed: Recipe, inputs: Inputs) -> "_Target | None":
        if order.push is None and order.key is not None:
            raise SignatureError("--key: is given without --push, and only what is pushed is signed; add --push")
        if order.push is None:
            return None
        if order.base is None:
            raise RecipeError("--base: is missing beside --push; name the base image as NAME@sha256:<64 hex digits>")
        key = private_key(order.key) if order.key is not None else None
        destination = Destination.of(order.push, order.base, Memory(cache_root() / "pushes"))
        destination.check(inputs.tag)
        bases: dict[str, Base] = {platform: destination.base_for(platform) for platform in parsed.platforms}
        return cls(order, parsed, destination, bases, key, datetime.now(UTC))

    def attestations(self, parts: Parts, store: StepStore) -> Attestations:
        """Return what goes beside the image of `parts`, whose wheels `store` holds."""
        wheels = {platform: lay_out(platform, store, lambda: None) for platform in self.bases}
        base, server = self.destination.base, ROOT / "model_server"
        contents = Contents(self.recipe, parts.inputs, base, parts.artifact, server, wheels, self.began)
        return Attestations(contents, self.key)


def _image(
    target: _Target, parts: Parts, store: StepStore, written: report.Written, sink: Sink
) -> tuple[str, list[dict[str, Any]]]:
    baking = Reporter.start(sink, "bake")
    baking.tell("started")
    drafts = [bake(parts, platform, base, store, baking) for platform, base in target.bases.items()]
    size = sum(one.size for draft in drafts for one in draft.contents)
    baking.tell("done", 1.0, f"{size / 1e6:.1f} MB")
    _require_unchanged(target.order, parts.inputs)
    pushing = Reporter.start(sink, "push")
    pushing.tell("started")

    def told(done: int, whole: int) -> None:
        pushing.tell("running", done / max(whole, 1), f"{done / 1e6:.0f} of {whole / 1e6:.0f} MB")

    attached = {
        REPORT_TYPE: (store.root / written.figures).read_bytes(),
        PAGE_TYPE: (store.root / written.page).read_bytes(),
    }
    attestations = target.attestations(parts, store)
    digest, own = publish(drafts, target.destination, parts.inputs.tag, attached, told, attestations=attestations)
    pushing.tell("done", 1.0, "" if own else "an image of the same inputs was pushed before; it stays")
    rows = [_row("bake", baking, size), _row("push", pushing, None)]
    return target.destination.image(digest), rows


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
    parsed = recipe.load(path)
    store = StepStore(cache_root())
    store.sweep()
    with pipeline.Pipeline(path, parsed, build_inputs.compute(path, None), store, sink) as steps:
        splits = steps.data()
        test = data.read(splits.path, "test")
        inputs = np.array(test.texts) if test.texts else test.inputs
        if len(test.labels):
            return {"inputs": inputs, "labels": test.labels}
        answers = npz.load(steps.reference(splits).path / OUTPUTS)
        return {"inputs": inputs, "wanted": answers["test"]}
