"""What a build tells at its end: the table of steps, the figures, and a report file apart from every layer."""

import json
import os
from pathlib import Path
from typing import Any

from model_build.artifact import CURVES, MODEL
from model_build.inputs import Inputs
from model_build.pipeline import Built
from model_build.runner import StepRun


def rows(built: Built) -> list[dict[str, Any]]:
    """Return one row a step: name, state, size in bytes, accuracy, latency in milliseconds, seconds."""
    metrics = built.step("gates").stored.facts
    source, exported, final = (
        {name: metrics[f"{prefix}{name}"] for name in ("accuracy", "latency_ms", "size")}
        for prefix in ("source_", "exported_", "")
    )
    known = {"source": source, built.of_chosen("export"): exported, built.of_chosen("quantize"): final}
    known["train"] = {"accuracy": metrics["source_accuracy"]}
    return [_row(run, known.get(run.name, {})) for run in built.steps]


def _row(run: StepRun, known: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": run.name,
        "state": run.state,
        "size": known.get("size", _size(run)),
        "accuracy": known.get("accuracy"),
        "latency_ms": known.get("latency_ms"),
        "seconds": round(run.seconds, 3),
    }


def _trained(run: StepRun) -> bool:
    return (run.stored.path / CURVES).is_file()


def _size(run: StepRun) -> int | None:
    size = run.stored.facts.get("size")
    return size if isinstance(size, int) else None


def write(built: Built, inputs: Inputs, cache: Path) -> str:
    """Write the report and return its path below the cache."""
    place = f"reports/{inputs.hash}.json"
    curves = {run.name: json.loads((run.stored.path / CURVES).read_bytes()) for run in built.steps if _trained(run)}
    report = {
        "version": 1,
        "inputs": inputs.hash,
        "parts": dict(inputs.parts),
        "recipe": inputs.recipe,
        "steps": [{**row, "seconds": run.stored.seconds} for row, run in zip(rows(built), built.steps, strict=True)],
        "metrics": built.step("gates").stored.facts,
        "facts": {run.name: run.stored.facts for run in built.steps if run.name != "gates"},
        "chosen": built.chosen,
        "curves": curves,
        "artifact": {"digest": built.artifact.digest, "model": MODEL},
    }
    target = cache / place
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n")
    unfinished.replace(target)
    return place
