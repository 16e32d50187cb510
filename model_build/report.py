"""What a build tells at its end: the table of steps, the figures, and a report apart from every layer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.artifact import CONFUSION, CURVES, HISTOGRAMS, MODEL, SENSITIVITY
from model_build.errors import GateError
from model_build.inputs import Inputs
from model_build.pipeline import Built, Refused
from model_build.runner import StepRun
from model_build.tasks import TASKS, figure_of


def rows(built: Built) -> list[dict[str, Any]]:
    """Return one row a step: name, state, size in bytes, accuracy, latency in milliseconds, seconds."""
    metrics = built.step("gates").stored.facts
    known = _known(metrics, built.chosen)
    return [_row(run, known.get(run.name, {}), figure_of(metrics)) for run in built.steps]


def _known(metrics: Mapping[str, Any], chosen: str) -> dict[str, dict[str, Any]]:
    """Return what the gates measured of the models that steps made, by the step's name."""
    figure, prefix = figure_of(metrics), f"{chosen}/" if chosen else ""
    source, exported, final = (
        {name: metrics[f"{of}{name}"] for name in (figure, "latency_ms", "size")} for of in ("source_", "exported_", "")
    )
    trained = {figure: metrics[f"source_{figure}"]}
    known = {"train": trained, "load": trained, "source": source, "export": source}
    return known | {f"{prefix}export": exported, f"{prefix}quantize": final}


def _row(run: StepRun, known: dict[str, Any], figure: str) -> dict[str, Any]:
    return {
        "name": run.name,
        "state": run.state,
        "size": known.get("size", _size(run)),
        figure: known.get(figure),
        "latency_ms": known.get("latency_ms"),
        "seconds": round(run.seconds, 3),
    }


def _held(steps: Sequence[StepRun], file: str) -> dict[str, Any]:
    """Return what each step that wrote `file` has in it."""
    found = ((run.name, run.stored.path / file) for run in steps)
    return {name: json.loads(path.read_bytes()) for name, path in found if path.is_file()}


def _size(run: StepRun) -> int | None:
    size = run.stored.facts.get("size")
    return size if isinstance(size, int) else None


@dataclass(frozen=True)
class Written:
    """Where a build's report lies below the cache: JSON for programs, a page for people or no page."""

    figures: str
    page: str

    @classmethod
    def of(cls, inputs: Inputs) -> Written:
        """Return where a report with a page lies."""
        return cls(f"reports/{inputs.hash}.json", f"reports/{inputs.hash}.html")


def write(built: Built, inputs: Inputs, cache: Path) -> Written:
    """Write the report where it is not there as it is; the page needs nothing beside it."""
    written = Written.of(inputs)
    _write(_report(built, inputs), written, cache)
    return written


def write_refused(refused: Refused, error: GateError, inputs: Inputs, cache: Path) -> Written:
    """Write the report of a build that a gate stopped: what it missed, the steps until then and their figures."""
    written = Written.of(inputs)
    metrics, figure = error.facts.get("metrics") or {}, TASKS[inputs.parsed.task].figure
    known = _known(metrics, refused.chosen) if metrics else {}
    table = [{**_row(run, known.get(run.name, {}), figure), "seconds": run.stored.seconds} for run in refused.steps]
    stopped = {name: metrics.get(name) for name in ("size", figure, "latency_ms")}
    table.append({"name": refused.by, **stopped, "seconds": round(refused.seconds, 3)})
    facts = {run.name: run.stored.facts for run in refused.steps}
    if "tried" in error.facts:
        facts["search"] = {"tried": error.facts["tried"]}
    told = {
        "refused": {"by": refused.by, "misses": list(error.facts.get("misses") or [str(error)])},
        "steps": [{key: value for key, value in row.items() if key != "state"} for row in table],
        "metrics": metrics,
        "confusion": error.facts.get("confusion") or {"names": [], "counts": []},
        "facts": facts,
    }
    _write({**_common(refused.steps, refused.chosen, inputs), **told}, written, cache)
    return written


def _write(told: Mapping[str, Any], written: Written, cache: Path) -> None:
    report = {**told, "page": written.page}
    text = json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n"
    figures, page = cache / written.figures, cache / written.page
    if not (page.is_file() and figures.is_file() and figures.read_text() == text):
        # Plots take a second, which a build of nothing new has not.
        from model_build.page import render  # noqa: PLC0415

        _replace(page, render(report))
        _replace(figures, text)


def write_plain(inputs: Inputs, rows: list[dict[str, Any]], metrics: Mapping[str, Any], cache: Path) -> Written:
    """Write the report of a build that ran no step and has nothing to plot."""
    written = Written(f"reports/{inputs.hash}.json", "")
    told = {"version": 1, "inputs": inputs.hash, "parts": dict(inputs.parts), "recipe": inputs.recipe}
    report = {**told, "steps": [{**row, "seconds": 0.0} for row in rows], "metrics": dict(metrics)}
    _replace(cache / written.figures, json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return written


def _report(built: Built, inputs: Inputs) -> dict[str, Any]:
    gates = built.step("gates").stored
    table = [{**row, "seconds": run.stored.seconds} for row, run in zip(rows(built), built.steps, strict=True)]
    return {
        **_common(built.steps, built.chosen, inputs),
        "steps": [{key: value for key, value in row.items() if key != "state"} for row in table],
        "metrics": gates.facts,
        "confusion": json.loads((gates.path / CONFUSION).read_bytes()),
        "facts": {run.name: run.stored.facts for run in built.steps if run.name != "gates"},
        "artifact": {"digest": built.artifact.digest, "model": MODEL},
    }


def _common(steps: Sequence[StepRun], chosen: str, inputs: Inputs) -> dict[str, Any]:
    return {
        "version": 1,
        "inputs": inputs.hash,
        "parts": dict(inputs.parts),
        "recipe": inputs.recipe,
        "chosen": chosen,
        "curves": _held(steps, CURVES),
        "sensitivity": _held(steps, SENSITIVITY),
        "histograms": _held(steps, HISTOGRAMS),
    }


def _replace(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(target)
