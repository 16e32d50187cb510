"""Figures of the tasks, and the probes at which an export is held to its source."""

import numpy as np
import pytest

from model_build.data import Split
from model_build.probes import probes
from model_build.tasks import TASKS, agreement, cosine, figure_of

ROWS = np.random.default_rng(7).normal(size=(50, 16)).astype(np.float32)
UNLABELLED = Split(ROWS, np.zeros(0, np.int64))


def test_embeddings_are_compared_by_direction_alone() -> None:
    assert cosine(ROWS, 3 * ROWS) == pytest.approx(1)
    assert cosine(ROWS, -ROWS) == pytest.approx(-1)


def test_embeddings_of_nothing_have_no_direction_and_no_nan() -> None:
    assert cosine(np.zeros_like(ROWS), ROWS) == 0


def test_agreement_is_the_share_of_samples_whose_nearest_other_sample_stays_the_same() -> None:
    pairs = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0) + 0.01 * np.arange(8, dtype=np.float32)[:, None]
    swapped = pairs[[0, 1, 2, 3, 4, 6, 5, 7]]
    assert agreement(pairs, pairs) == 1
    assert agreement(swapped, pairs) == 0.5


def test_a_sample_alone_agrees() -> None:
    assert agreement(ROWS[:1], ROWS[:1]) == 1


def test_each_task_has_its_own_figures() -> None:
    labelled = Split(ROWS, ROWS.argmax(axis=1))
    assert TASKS["classification"].figures(ROWS, labelled, ROWS) == {"accuracy": 1.0}
    assert set(TASKS["embedding"].figures(ROWS, UNLABELLED, ROWS)) == {"cosine", "agreement"}
    assert (figure_of({"accuracy": 1.0}), figure_of({"cosine": 1.0})) == ("accuracy", "cosine")


def test_probes_start_over_where_samples_run_out() -> None:
    found = probes(ROWS[:2], [1, 5], [])
    assert {name: one.shape for name, one in found.items()} == {"batch-1": (1, 16), "batch-5": (5, 16)}
    assert np.array_equal(found["batch-5"], ROWS[[0, 1, 0, 1, 0]])


def test_probes_of_a_free_axis_have_half_its_length_too() -> None:
    found = probes(ROWS.reshape(50, 4, 4), [2], [1])
    assert {name: one.shape for name, one in found.items()} == {
        "batch-2": (2, 4, 4),
        "batch-2-axis-1-length-2": (2, 2, 4),
    }
