"""What happens to a model's image, from the engine's step on its ModelImage (provider/model_image.py)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ops.previews.facts import Layer, Model, Operation, Version

KIND = "modelstack:index:ModelImage"
FIRST = "first build"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Properties that explain another one's change.
_EXPLAINING = ("inputsHash", "parts", "parsed", "reason")


def model(name: str, operation: Operation, step: Mapping[str, Any]) -> Model:
    """Return what one step does to a model."""
    runs, will_run = _side(step, "old"), _side(step, "new")
    return Model(
        name=name,
        operation=operation,
        runs=_version(runs) if runs else None,
        will_run=_version(will_run) if will_run and operation != "delete" else None,
        why=() if operation in ("same", "delete") else tuple(_why(runs, will_run, step)),
        gates=_gates(will_run or runs),
    )


def _side(step: Mapping[str, Any], side: str) -> dict[str, Any]:
    state = step.get(side) or {}
    return {**(state.get("inputs") or {}), **(state.get("outputs") or {})}


def _version(properties: Mapping[str, Any]) -> Version:
    digest = properties.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return Version()
    metrics, layers = properties.get("metrics"), properties.get("layers")
    return Version(
        digest=digest,
        metrics=_numbers(metrics),
        layers=tuple(
            Layer(digest=one["digest"], size=int(one["size"])) for one in layers if _DIGEST.fullmatch(one["digest"])
        )
        if isinstance(layers, list)
        else (),
    )


def _numbers(found: object) -> dict[str, float]:
    values = found.items() if isinstance(found, Mapping) else ()
    return {name: float(one) for name, one in values if _is_number(one)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _gates(properties: Mapping[str, Any]) -> dict[str, float]:
    parsed = properties.get("parsed")
    return _numbers(parsed.get("gates")) if isinstance(parsed, Mapping) else {}


def _why(runs: Mapping[str, Any], will_run: Mapping[str, Any], step: Mapping[str, Any]) -> list[str]:
    """Return the reasons of a change: which input, and which place."""
    reason = str(will_run.get("reason") or "")
    if not runs:
        return [reason or FIRST]
    places = [name for name in step.get("diffs") or () if name not in _EXPLAINING]
    moved = [f"{name} changed" for name in places]
    if runs.get("inputsHash") == will_run.get("inputsHash"):
        return moved
    # Of a replacement the provider does not see what was before it.
    told = "inputs changed" if reason in ("", FIRST) else reason
    return [told, *moved]
