"""A model's figures for people: what the stack runs, what it will run, and the limit of the gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.previews.facts import Layer, Model, Version

BUILT_BY_UP = "built by `up`"
ABSENT = "none"


@dataclass(frozen=True)
class Figure:
    """A figure that a gate holds: its name in the report, its gate and the side that the limit is on."""

    metric: str
    title: str
    gate: str
    sign: str
    told: Callable[[float], str]
    change: Callable[[float, float], str]


@dataclass(frozen=True)
class Row:
    """One figure of a model, ready to be read."""

    title: str
    runs: str
    will_run: str
    change: str
    limit: str


def size(count: float) -> str:
    """Return bytes for people, in decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _ms(value: float) -> str:
    return f"{value:.3f} ms" if value < 10 else f"{value:.1f} ms"


def _ratio(value: float) -> str:
    return f"{value:.4f}"


def _times(value: float) -> str:
    return f"{value:.2f}x"


def _points(before: float, after: float) -> str:
    return f"{(after - before) * 100:+.2f} points"


def _difference(before: float, after: float) -> str:
    return f"{after - before:+.4f}"


def _share(before: float, after: float) -> str:
    return f"{after / before - 1:+.1%}" if before else ""


FIGURES = (
    Figure("accuracy", "accuracy", "min_accuracy", "≥", _percent, _points),
    Figure("cosine", "cosine with fp32", "min_cosine", "≥", _ratio, _difference),
    Figure("agreement", "agreement", "min_agreement", "≥", _percent, _points),
    Figure("drop", "drop from fp32", "max_drop", "≤", _ratio, _difference),
    Figure("latency_ms", "p50 of one answer", "max_latency_ms", "≤", _ms, _share),
    Figure("speedup", "speed-up over fp32", "min_speedup", "≥", _times, _share),
    Figure("size", "model", "", "", size, _share),
    Figure("size_ratio", "share of fp32's size", "max_size_ratio", "≤", _ratio, _share),
)
# Told of every model that has them; the others where a gate of the recipe holds them.
ALWAYS = ("accuracy", "cosine", "latency_ms", "speedup", "size")


def rows(model: Model) -> Iterator[Row]:
    """Yield the figures of a model, gated ones with their limit, then its image."""
    runs, will_run = model.runs or Version(), model.will_run or Version()
    for figure in FIGURES:
        before, after = runs.metrics.get(figure.metric), will_run.metrics.get(figure.metric)
        limit = model.gates.get(figure.gate)
        known = before is not None or after is not None
        if (figure.metric in ALWAYS and known) or limit is not None:
            yield Row(
                figure.title,
                _cell(model.runs, before, figure.told),
                _cell(model.will_run, after, figure.told),
                "" if before is None or after is None or before == after else figure.change(before, after),
                "" if limit is None else f"{figure.sign} {figure.told(limit)}",
            )
    yield Row("image", image(model.runs), image(model.will_run), new_in_image(model), "")


def _cell(side: Version | None, value: float | None, told: Callable[[float], str]) -> str:
    if side is None:
        return ABSENT
    if value is not None:
        return told(value)
    return "" if side.digest else BUILT_BY_UP


def image(side: Version | None) -> str:
    """Return bytes and layers of an image."""
    if side is None:
        return ABSENT
    if not side.digest:
        return BUILT_BY_UP
    return f"{size(side.bytes)}, {len(side.layers)} layers" if side.layers else ""


def new_layers(model: Model) -> tuple[Layer, ...] | None:
    """Return the layers of a model's image that the one which runs lacks; None where either is not known."""
    runs, will_run = model.runs or Version(), model.will_run or Version()
    if not will_run.layers or (model.runs is not None and not runs.layers):
        return None
    known = {layer.digest for layer in runs.layers}
    return tuple(layer for layer in will_run.layers if layer.digest not in known)


def new_in_image(model: Model) -> str:
    """Return layers and bytes that the image which runs lacks: what is pushed for it, and what a node fetches."""
    new = new_layers(model)
    if new is None:
        return ""
    layers = "1 new layer" if len(new) == 1 else f"{len(new)} new layers"
    return f"{layers}, {size(sum(one.size for one in new))}" if new else "no new layer"


def short(version: Version | None) -> str:
    """Return the beginning of a digest, as people compare it."""
    if version is None:
        return ABSENT
    return f"`{version.digest[:19]}`" if version.digest else BUILT_BY_UP


def change(model: Model, metric: str) -> str:
    """Return one figure on both sides, for a row of a table; empty where the model has it on neither."""
    figure = next(one for one in FIGURES if one.metric == metric)
    values = [side.metrics.get(metric) if side else None for side in (model.runs, model.will_run)]
    told = [figure.told(value) for value in values if value is not None]
    return " → ".join(dict.fromkeys(told))
