"""The plots of the report page, each an SVG that stands in the page itself."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

SOURCE, SERVED, OTHER, LOST = "#6b7280", "#2563eb", "#0f766e", "#b91c1c"
# Answers a second on one core → core-hours for a million answers.
CORE_HOURS = 1e6 / 3.6e6
STYLE = {
    "svg.hashsalt": "modelstack",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "axes.axisbelow": True,
}


def trade_off(points: Sequence[Mapping[str, Any]], source: Mapping[str, Any], quality: str) -> str:
    """Plot accuracy (or the task's other figure) against latency, from the trained model (P1) to what is served (P2).

    `points` have name, the task's figure, latency_ms, size and lost; a disc's area is the size. The upper axis is the
    cost: core-hours for a million answers one at a time.
    """
    scale, label_of_axis = (100, "accuracy, %") if quality == "accuracy" else (1, quality)
    with mpl.rc_context(STYLE):
        figure, axes = _figure(7.2, 4.2)
        largest = max(one["size"] for one in [*points, source])
        for one in [source, *points]:
            size = 60 + 540 * one["size"] / largest
            axes.scatter(one["latency_ms"], scale * one[quality], size, _colour(one, source), alpha=0.75, linewidths=0)
            label = f"{one['name']}  {one['size'] / 1000:.0f} kB"
            place = (one["latency_ms"], scale * one[quality])
            axes.annotate(label, place, textcoords="offset points", xytext=(9, 7), fontsize=9)
        served = next((one for one in points if not one["lost"]), None)
        if served is not None:
            ends = [(one["latency_ms"], scale * one[quality]) for one in (served, source)]
            axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": SERVED, "linewidth": 1.5})
        axes.set(xlabel="milliseconds an answer, one thread", ylabel=label_of_axis)
        axes.set_xlim(left=0, right=1.25 * max(one["latency_ms"] for one in [*points, source]))
        axes.margins(y=0.25)
        cost = axes.secondary_xaxis("top", functions=(lambda ms: ms * CORE_HOURS, lambda hours: hours / CORE_HOURS))
        cost.set_xlabel("core-hours for a million answers")
        return _svg(figure)


def curves(steps: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Plot loss and accuracy on validation over epochs, a line for each step that trained."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        loss, accuracy = figure.subplots(1, 2)
        for name, rows in steps.items():
            epochs = [row["epoch"] for row in rows]
            drawn = loss.plot(epochs, [row["loss"] for row in rows], label=f"{name}: training")
            held = [row["validation_loss"] for row in rows]
            loss.plot(epochs, held, "--", color=drawn[0].get_color(), label=f"{name}: validation")
            accuracy.plot(epochs, [100 * row["validation_accuracy"] for row in rows], label=name)
        loss.set(xlabel="epoch", ylabel="loss", yscale="log")
        accuracy.set(xlabel="epoch", ylabel="accuracy on validation, %")
        loss.legend(frameon=False, fontsize=8)
        accuracy.legend(frameon=False, fontsize=8)
        return _svg(figure)


def sensitivity(costs: Sequence[Mapping[str, Any]], kept: Sequence[str]) -> str:
    """Plot what each node costs when it alone is int8; nodes `kept` in fp32 stand out. The 24 costliest are shown."""
    shown = list(costs)[:24]
    with mpl.rc_context(STYLE):
        figure, axes = _figure(7.2, 0.9 + 0.28 * len(shown))
        names = [f"{one['node']}  ({one['kind']})" for one in shown]
        colours = [LOST if one["node"] in kept else SERVED for one in shown]
        axes.barh(names, [max(one["distance"], 1e-12) for one in shown], color=colours, height=0.6)
        axes.invert_yaxis()
        axes.set(xlabel="mean squared change of the answers, as a share of their variance", xscale="log")
        return _svg(figure)


def histograms(tensors: Sequence[Mapping[str, Any]]) -> str:
    """Plot what calibration saw of each tensor, and the range that int8 covers; the first 12 are shown."""
    shown = list(tensors)[:12]
    rows = -(-len(shown) // 3)
    with mpl.rc_context(STYLE):
        # A layout that measures every label takes longer than all else on the page.
        figure = Figure(figsize=(7.2, 1.7 * rows))
        figure.subplots_adjust(left=0.06, right=0.98, top=1 - 0.2 / rows, bottom=0.2 / rows, hspace=0.5, wspace=0.25)
        for index, one in enumerate(shown):
            axes = figure.add_subplot(rows, 3, index + 1)
            axes.stairs(one["counts"], one["edges"], fill=True, color=SERVED, alpha=0.6)
            for end in one["range"]:
                axes.axvline(end, color=LOST, linewidth=1)
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(LogLocator(numticks=4))
            axes.set_title(one["tensor"], fontsize=7)
            axes.tick_params(labelsize=6)
        return _svg(figure)


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Plot how often held-out samples of a label (row) are given each label (column); the diagonal is right."""
    side = min(7.2, 1.6 + 0.42 * len(names))
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = _figure(side, side)
        wrong = [
            [0 if row == column else count for column, count in enumerate(line)] for row, line in enumerate(counts)
        ]
        axes.imshow(wrong, cmap="Reds", vmin=0, vmax=max(1, *(max(line) for line in wrong)) * 1.6)
        if len(names) <= 20:
            for row, line in enumerate(counts):
                for column, count in enumerate(line):
                    if count:
                        weight = "bold" if row == column else "normal"
                        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, fontweight=weight)
        places = range(len(names))
        axes.set_xticks(places, names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(places, names)
        axes.set(xlabel="answered", ylabel="label")
        return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _colour(one: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    if one is source:
        return SOURCE
    return LOST if one["lost"] else SERVED


def _svg(figure: Figure) -> str:
    held = io.StringIO()
    # No date and no tool's name: the same figures give the same bytes.
    figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    text = held.getvalue()
    return text[text.index("<svg") :]
