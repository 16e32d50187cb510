"""The search: which candidate keeps the gates on validation and answers fastest. The held-out split is not read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_build import data
from model_build.artifact import MODEL
from model_build.errors import GateError
from model_build.gates import limits
from model_build.job import Job
from model_build.measure import Artifact, UnusableError, accuracy, latencies_ms

CANDIDATE = "candidate "
TABLE = "search.json"


@dataclass(frozen=True)
class Trial:
    """A candidate's figures on validation, and why it lost; no reason, and it could be served."""

    name: str
    size: int | None = None
    accuracy: float | None = None
    latency_ms: float | None = None
    speedup: float | None = None
    lost: str = ""


def run(job: Job) -> dict[str, Any]:
    """Choose the fastest; raises GateError, with every reason, where none may be served."""
    paths = {
        name.removeprefix(CANDIDATE): path / MODEL for name, path in job.inputs.items() if name.startswith(CANDIDATE)
    }
    trials = tried(
        job.inputs["source"] / MODEL, paths, data.read(job.inputs["data"], "validation"), job.params["gates"]
    )
    trials += [
        Trial(name, lost="was not tried: the search had used up its seconds") for name in job.params["not_tried"]
    ]
    winner = fastest(trials)
    rows = [
        asdict(one) if one.lost or one is winner else {**asdict(one), "lost": _slower(one, winner)} for one in trials
    ]
    (job.out / TABLE).write_text(json.dumps(rows, indent=1, allow_nan=False))
    return {"chosen": winner.name, "tried": rows}


def tried(source: Path, paths: Mapping[str, Path], split: data.Split, gates: Mapping[str, Any]) -> list[Trial]:
    """Measure every candidate beside the source in fp32, in rounds that take turns."""
    usable: dict[str, Artifact] = {}
    lost: list[Trial] = []
    for name, path in paths.items():
        try:
            model = Artifact(path)
            _require_finite(model.answer_all(split.inputs))
            usable[name] = model
        except UnusableError as error:
            lost.append(Trial(name, lost=str(error)))
    fp32 = Artifact(source)
    sample = np.ascontiguousarray(split.inputs[:1])
    source_latency, *latencies = latencies_ms([fp32, *usable.values()], sample)
    source_accuracy = accuracy(fp32.answer_all(split.inputs), split.labels)
    source_size = source.stat().st_size
    trials = []
    for (name, model), latency in zip(usable.items(), latencies, strict=True):
        found = accuracy(model.answer_all(split.inputs), split.labels)
        size = paths[name].stat().st_size
        # The source itself, measured twice, is as fast as itself.
        speedup = 1.0 if paths[name].read_bytes() == source.read_bytes() else source_latency / latency
        figures = {
            "accuracy": found,
            "drop": source_accuracy - found,
            "size_ratio": size / source_size,
            "latency_ms": latency,
            "speedup": speedup,
        }
        trials.append(Trial(name, size, found, latency, speedup, _reason(figures, gates)))
    return trials + lost


def fastest(trials: list[Trial]) -> Trial:
    """Return the fastest of those that may be served; raises GateError where there is none."""
    left = [one for one in trials if not one.lost and one.latency_ms is not None]
    if not left:
        said = "; ".join(f"{one.name}: {one.lost}" for one in trials)
        raise GateError(f"search: no candidate keeps the gates on validation: {said}")
    return max(left, key=lambda one: one.speedup or 0.0)


def _reason(figures: Mapping[str, float], gates: Mapping[str, Any]) -> str:
    misses = limits(figures, gates)
    if not figures["speedup"] >= 1:
        misses.append(f"speedup is {figures['speedup']:.2f}, the limit is at least 1: fp32 is faster")
    return "; ".join(misses)


def _require_finite(answers: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    if not np.isfinite(answers).all():
        raise UnusableError("answers validation samples with NaN or infinity")


def _slower(one: Trial, winner: Trial) -> str:
    return f"{one.latency_ms:.4f} ms an answer, {winner.name} takes {winner.latency_ms:.4f}"
