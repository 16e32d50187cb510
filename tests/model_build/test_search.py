"""The search among candidates: what loses and why, and that the held-out split still has the last word."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_build.artifact import CANDIDATE, MODEL
from model_build.data import Split, Splits, save
from model_build.errors import GateError
from model_build.gates import Subject, judge
from model_build.job import Job
from model_build.search import Trial, fastest, run, tried
from tests.model_build.test_gates import CLASSES, GATES, INPUTS, LABELS, RIGHT, onnx
from tests.model_server.onnx_files import FLOAT, Graph, _node, _tensor, _value

VALIDATION = Split(INPUTS, LABELS.astype(np.int64))
NO_GATES: dict[str, Any] = {"min_accuracy": 0.9}


def slow(size: int = 1500) -> bytes:
    """Return a model that is right after a detour through `size` x `size` products."""
    wide = np.zeros((CLASSES, size), np.float32)
    wide[:, :CLASSES] = RIGHT
    back = np.eye(size, CLASSES, dtype=np.float32)
    return Graph(
        nodes=(
            _node("MatMul", ["input", "wide"], ["a"]),
            _node("MatMul", ["a", "same"], ["b"]),
            _node("MatMul", ["b", "back"], ["logits"]),
        ),
        initializers=(
            _tensor("wide", FLOAT, wide),
            _tensor("same", FLOAT, np.eye(size, dtype=np.float32)),
            _tensor("back", FLOAT, back),
        ),
        inputs=(_value("input", FLOAT, [-1, CLASSES]),),
        outputs=(_value("logits", FLOAT, [-1, CLASSES]),),
    ).model()


def trials(folder: Path, gates: dict[str, Any] = NO_GATES, **models: bytes) -> dict[str, Trial]:
    assert next(iter(models)) == "fp32"
    paths = {}
    for name, content in models.items():
        paths[name] = folder / f"{name}.onnx"
        paths[name].write_bytes(content)
    return {one.name: one for one in tried(paths, VALIDATION, gates)}


def test_the_fastest_that_keeps_the_gates_is_chosen(tmp_path: Path) -> None:
    found = trials(tmp_path, fp32=slow(), quick=onnx(RIGHT))
    assert not found["quick"].lost
    assert fastest(list(found.values())).name == "quick"


def test_a_candidate_slower_than_fp32_is_never_chosen(tmp_path: Path) -> None:
    found = trials(tmp_path, {"min_accuracy": 0.9, "max_size_ratio": 1e6}, fp32=onnx(RIGHT), slow=slow())
    assert "fp32 is faster" in found["slow"].lost
    assert fastest(list(found.values())).name == "fp32"


def test_a_candidate_that_misses_a_gate_is_lost_with_figure_limit_and_remedy(tmp_path: Path) -> None:
    found = trials(tmp_path, fp32=slow(), wrong=onnx(np.roll(RIGHT, 1, axis=1)))
    assert found["wrong"].lost.startswith("gates.min_accuracy: accuracy is 0.0000, the limit is at least 0.9; ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (onnx(np.full_like(RIGHT, np.nan)), "NaN"),
        (onnx(RIGHT)[:-9], "cannot be loaded"),
        (onnx(RIGHT, batch=1), "a batch of 30 cannot be answered"),
    ],
)
def test_a_candidate_that_cannot_answer_is_lost(tmp_path: Path, content: bytes, said: str) -> None:
    found = trials(tmp_path, fp32=onnx(RIGHT), broken=content)
    assert said in found["broken"].lost
    assert fastest(list(found.values())).name == "fp32"


def test_a_search_in_which_all_lose_is_refused_with_every_reason(tmp_path: Path) -> None:
    found = trials(tmp_path, {"min_accuracy": 1.1}, fp32=onnx(RIGHT), other=onnx(RIGHT))
    with pytest.raises(GateError, match=r"fp32: gates\.min_accuracy: .*; other: gates\.min_accuracy: "):
        fastest(list(found.values()))


def test_a_refused_search_keeps_the_figures_of_each_candidate(tmp_path: Path) -> None:
    inputs = {"data": tmp_path / "data"}
    inputs["data"].mkdir()
    save(Splits(VALIDATION, VALIDATION, VALIDATION, names=tuple("abc")), inputs["data"])
    for name in ("fp32", "other"):
        inputs[f"{CANDIDATE}{name}"] = tmp_path / name
        (tmp_path / name).mkdir()
        (tmp_path / name / MODEL).write_bytes(onnx(RIGHT))
    params = {"task": "classification", "gates": {"min_accuracy": 1.1}, "tried": ["fp32", "other"], "not_tried": []}
    with pytest.raises(GateError) as refused:
        run(Job(inputs, params, tmp_path, tmp_path, lambda *_: None))
    assert [(one["name"], one["accuracy"]) for one in refused.value.facts["tried"]] == [("fp32", 1.0), ("other", 1.0)]
    assert all(one["lost"].startswith("gates.min_accuracy: ") for one in refused.value.facts["tried"])


def test_a_search_whose_fp32_cannot_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"search: fp32: answers validation samples with NaN"):
        trials(tmp_path, fp32=onnx(np.full_like(RIGHT, np.nan)), other=onnx(RIGHT))


def test_a_winner_on_validation_alone_is_refused_by_the_gates(tmp_path: Path) -> None:
    lucky = onnx(RIGHT)
    found = trials(tmp_path, fp32=slow(), lucky=lucky)
    assert fastest(list(found.values())).name == "lucky"
    # Held-out samples of the same classes look another way: what was right on validation is wrong on them.
    held_out = Split(np.roll(INPUTS, 1, axis=1), LABELS.astype(np.int64))
    answers = held_out.inputs @ np.roll(RIGHT, -1, axis=1).T
    reference = {"test": answers, "batch-1": held_out.inputs[:1] @ RIGHT, "batch-2": held_out.inputs[:2] @ RIGHT}
    path = tmp_path / "lucky.onnx"
    verdict = judge(Subject(path, path, tmp_path / "fp32.onnx", reference, held_out, CLASSES), GATES)
    assert any(one.startswith("gates.min_accuracy: accuracy is 0.0000") for one in verdict.misses)
