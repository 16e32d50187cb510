from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_build import npz
from model_build.data import Split, Splits, Tokenizer, save
from model_build.errors import GateError
from model_build.gates import Subject, judge, run
from model_build.job import Job
from tests.model_server.onnx_files import FLOAT, Graph, _node, _tensor, _value

CLASSES = 3
LABELS = np.arange(30) % CLASSES
INPUTS = np.eye(CLASSES, dtype=np.float32)[LABELS]
RIGHT = 5 * np.eye(CLASSES, dtype=np.float32)
GATES: dict[str, Any] = {"min_accuracy": 0.9, "max_drop": 0.01, "parity": {"atol": 1e-4, "batches": [1, 2]}}


def onnx(weights: NDArray[np.float32], batch: int = -1, name: str = "logits") -> bytes:
    """Return a model of `logits = input @ weights`."""
    return Graph(
        nodes=(_node("MatMul", ["input", "w"], [name]),),
        initializers=(_tensor("w", FLOAT, weights),),
        inputs=(_value("input", FLOAT, [batch, CLASSES]),),
        outputs=(_value(name, FLOAT, [batch, weights.shape[1]]),),
    ).model()


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A model that is right everywhere."""
    for name in ("artifact", "exported", "source"):
        (tmp_path / name).write_bytes(onnx(RIGHT))
    reference = {"test": INPUTS @ RIGHT, "batch-1": INPUTS[:1] @ RIGHT, "batch-2": INPUTS[:2] @ RIGHT}
    test = Split(INPUTS, LABELS.astype(np.int64))
    return Subject(tmp_path / "artifact", tmp_path / "exported", tmp_path / "source", reference, test, CLASSES)


def misses(subject: Subject, **gates: Any) -> str:
    return "; ".join(judge(subject, GATES | gates).misses)


def test_a_model_that_is_right_passes_with_its_figures(subject: Subject) -> None:
    verdict = judge(subject, GATES)
    assert verdict.misses == ()
    assert (verdict.metrics["accuracy"], verdict.metrics["correct"], verdict.metrics["samples"]) == (1.0, 30, 30)


def test_an_artifact_that_is_often_wrong_misses_accuracy_and_drop(subject: Subject) -> None:
    subject.artifact.write_bytes(onnx(np.roll(RIGHT, 1, axis=1)))
    assert "gates.min_accuracy: accuracy is 0.0000, the limit is at least 0.9" in misses(subject)
    assert "gates.max_drop: drop is 1.0000, the limit is at most 0.01" in misses(subject)


@pytest.mark.parametrize(
    ("gate", "limit"), [("max_latency_ms", 1e-9), ("min_speedup", 1e9), ("max_size_ratio", 0.5), ("min_accuracy", 1.1)]
)
def test_a_figure_over_its_limit_is_told_with_the_limit_and_a_remedy(subject: Subject, gate: str, limit: float) -> None:
    said = misses(subject, **{gate: limit})
    assert said.startswith(f"gates.{gate}: ")
    assert f"{limit}; " in said


def test_an_exported_model_far_from_its_source_misses_parity_at_each_batch(subject: Subject) -> None:
    off = {name: value + np.float32(0.1) for name, value in subject.reference.items()}
    said = misses(replace(subject, reference=off))
    assert said.count("gates.parity: the exported model differs from its source by 1.00e-01") == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["artifact", "exported"])
def test_answers_that_are_no_numbers_are_refused(subject: Subject, which: str, bad: float) -> None:
    getattr(subject, which).write_bytes(onnx(np.full_like(RIGHT, bad)))
    assert f"gates: {which} answers 30 of 30 held-out samples with NaN or infinity" in misses(subject)


def test_a_source_that_answers_nan_is_refused(subject: Subject) -> None:
    broken = {**subject.reference, "test": np.full_like(INPUTS, np.nan)}
    assert "gates: source answers 30 of 30" in misses(replace(subject, reference=broken))


@pytest.mark.parametrize("name", ["test", "batch-2"])
def test_an_answer_of_the_source_that_is_missing_is_a_miss(subject: Subject, name: str) -> None:
    left = {key: value for key, value in subject.reference.items() if key != name}
    assert misses(replace(subject, reference=left))


def test_a_parity_that_cannot_be_a_number_is_a_miss(subject: Subject) -> None:
    broken = {**subject.reference, "batch-1": np.full((1, CLASSES), np.nan, np.float32)}
    assert "gates.parity" in misses(replace(subject, reference=broken))


def test_a_model_with_the_wrong_number_of_classes_is_refused(subject: Subject) -> None:
    subject.artifact.write_bytes(onnx(np.ones((CLASSES, 4), np.float32)))
    assert "gates: artifact has an output of shape ['n', 4], the limit is [batch, 3]" in misses(subject)


def test_a_model_with_a_fixed_batch_is_refused(subject: Subject) -> None:
    subject.artifact.write_bytes(onnx(RIGHT, batch=1))
    assert "a fixed batch" in misses(subject)


def test_a_model_with_another_outputs_name_is_refused(subject: Subject) -> None:
    subject.artifact.write_bytes(onnx(RIGHT, name="scores"))
    assert "the limit is one float 'logits'" in misses(subject)


@pytest.mark.parametrize("content", [b"", b"no onnx at all"])
def test_a_file_that_is_no_model_is_refused(subject: Subject, content: bytes) -> None:
    subject.artifact.write_bytes(content)
    assert "cannot be loaded" in misses(subject)


def test_text_whose_length_the_export_fixes_is_refused(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "tokenizer.json").write_text("{}")
    texts = Split(np.ones((2, 3), np.int64), np.zeros(0, np.int64), ("one", "two"))
    save(Splits(texts, texts, texts, tokenizer=Tokenizer(tmp_path / "tokenizer.json", 3)), folder)
    npz.save(tmp_path / "outputs.npz", {"test": np.ones((2, 3), np.float32)})
    inputs = dict.fromkeys(("model", "export", "source", "reference"), tmp_path) | {"data": folder}
    params = {"task": "embedding", "dynamic_axes": [], "gates": GATES}
    with pytest.raises(GateError, match=r"axis 1 has a fixed length, .*write `export: \{dynamic_axes: \[1\]\}`"):
        run(Job(inputs, params, tmp_path, tmp_path, lambda *_: None))


def test_an_empty_held_out_split_is_refused(subject: Subject) -> None:
    empty = Split(INPUTS[:0], LABELS[:0].astype(np.int64))
    assert "the held-out split is empty" in misses(replace(subject, test=empty))
