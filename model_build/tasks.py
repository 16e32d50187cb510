"""What a model is for: its output's name, and the figures that say how well it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_build.data import Split

Answers = NDArray[np.float32]
Figures = dict[str, float]


@dataclass(frozen=True)
class Task:
    """A kind of model.

    `figures` takes answers, their split and what the fp32 source answers; `figure` is the one that tells models apart.
    """

    output: str
    figure: str
    figures: Callable[[Answers, Split, Answers], Figures]


def figure_of(metrics: Mapping[str, object]) -> str:
    """Return which figure tells models of a build apart."""
    return "accuracy" if "accuracy" in metrics else "cosine"


def accuracy(logits: Answers, labels: NDArray[np.int64]) -> float:
    """Return the share of rows whose largest logit is the label."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def cosine(one: Answers, other: Answers) -> float:
    """Return the mean cosine of two sets of embeddings [n, d], row by row."""
    return float(np.mean(np.sum(_unit(one) * _unit(other), axis=1)))


def agreement(one: Answers, other: Answers) -> float:
    """Return the share of rows whose nearest other row, by cosine, is the same in both sets of embeddings [n, d].

    This is top-1 retrieval with every sample as the query and all others as what is searched.
    """
    if len(one) < 2:
        return 1.0
    return float(np.mean(_nearest(one) == _nearest(other)))


def _unit(rows: Answers) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit


def _nearest(rows: Answers) -> NDArray[np.int64]:
    unit = _unit(rows)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    nearest: NDArray[np.int64] = near.argmax(axis=1)
    return nearest


def _classified(answers: Answers, split: Split, _: Answers) -> Figures:
    return {"accuracy": accuracy(answers, split.labels)}


def _embedded(answers: Answers, _: Split, source: Answers) -> Figures:
    return {"cosine": cosine(answers, source), "agreement": agreement(answers, source)}


TASKS: Mapping[str, Task] = {
    "classification": Task("logits", "accuracy", _classified),
    "embedding": Task("embedding", "cosine", _embedded),
}
