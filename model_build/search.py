"""The search: which candidate keeps the gates on validation and answers fastest. The held-out split is not read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_build import data
from model_build.artifact import CANDIDATE, MODEL
from model_build.errors import GateError
from model_build.job import Job
from model_build.limits import limits
from model_build.measure import Artifact, UnusableError, latencies_ms
from model_build.tasks import TASKS, Answers, Figures, Task


@dataclass(frozen=True)
class Trial:
    """A candidate's figures on validation, and why it lost; no reason, and it could be served.

    `quality` is the figure of its task: accuracy, or the cosine with fp32.
    """

    name: str
    size: int | None = None
    quality: float | None = None
    latency_ms: float | None = None
    speedup: float | None = None
    lost: str = ""


def run(job: Job) -> dict[str, Any]:
    """Choose the fastest; raises GateError, with every reason, where none may be served."""
    paths = {name: job.inputs[f"{CANDIDATE}{name}"] / MODEL for name in job.params["tried"]}
    task = TASKS[job.params["task"]]
    trials = tried(paths, data.read(job.inputs["data"], "validation"), job.params["gates"], task)
    spent = "was not tried: the search had used up its seconds"
    trials += [Trial(name, lost=spent) for name in job.params["not_tried"]]
    try:
        winner = fastest(trials)
    except GateError as error:
        raise GateError(str(error), {"tried": [_row(one, one.lost, task.figure) for one in trials]}) from error
    return {"chosen": winner.name, "tried": [_row(one, _why(one, winner), task.figure) for one in trials]}


def tried(
    paths: Mapping[str, Path], split: data.Split, gates: Mapping[str, Any], task: Task = TASKS["classification"]
) -> list[Trial]:
    """Measure every candidate in rounds that take turns; the first is fp32, which the others are held against.

    Raises GateError where fp32 itself cannot answer.
    """
    models: dict[str, Artifact] = {}
    answers: dict[str, Answers] = {}
    lost = []
    for name, path in paths.items():
        try:
            models[name] = Artifact(path)
            answers[name] = _answers(models[name], split)
        except UnusableError as error:
            models.pop(name, None)
            lost.append(Trial(name, lost=str(error)))
    first = next(iter(paths))
    if first not in models:
        raise GateError(f"search: {first}: {lost[0].lost}; the limit is an answer to every sample; check the model")
    latencies = latencies_ms(list(models.values()), np.ascontiguousarray(split.inputs[:1]))
    measured = [
        _Measured(name, paths[name].stat().st_size, task.figures(answers[name], split, answers[first]), latency)
        for name, latency in zip(models, latencies, strict=True)
    ]
    return [_judged(one, measured[0], gates, task.figure) for one in measured] + lost


@dataclass(frozen=True)
class _Measured:
    """A model that answers: its file's bytes, its figures on validation, and milliseconds an answer."""

    name: str
    size: int
    figures: Figures
    latency_ms: float


def _answers(model: Artifact, split: data.Split) -> Answers:
    answers = model.answer_all(split.inputs)
    if not np.isfinite(answers).all():
        raise UnusableError("answers validation samples with NaN or infinity")
    return answers


def _judged(one: _Measured, fp32: _Measured, gates: Mapping[str, Any], figure: str) -> Trial:
    speedup = fp32.latency_ms / one.latency_ms
    figures = {
        **one.figures,
        "drop": fp32.figures[figure] - one.figures[figure],
        "size_ratio": one.size / fp32.size,
        "latency_ms": one.latency_ms,
        "speedup": speedup,
    }
    misses = limits(figures, gates)
    if not speedup >= 1:
        misses.append(f"speedup is {speedup:.2f}, the limit is at least 1: fp32 is faster")
    return Trial(one.name, one.size, one.figures[figure], one.latency_ms, speedup, "; ".join(misses))


def fastest(trials: list[Trial]) -> Trial:
    """Return the fastest of those that may be served; raises GateError where there is none."""
    left = [one for one in trials if not one.lost and one.latency_ms is not None]
    if not left:
        said = "; ".join(f"{one.name}: {one.lost}" for one in trials)
        raise GateError(f"search: no candidate keeps the gates on validation: {said}")
    return max(left, key=lambda one: one.speedup or 0.0)


def _row(one: Trial, lost: str, figure: str) -> dict[str, Any]:
    told = {**asdict(one), figure: one.quality, "lost": lost}
    return {key: value for key, value in told.items() if key != "quality"}


def _why(one: Trial, winner: Trial) -> str:
    if one.lost or one is winner:
        return one.lost
    return f"{one.latency_ms:.4f} ms an answer, {winner.name} takes {winner.latency_ms:.4f}"
