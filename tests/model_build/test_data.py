import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_build import data
from model_build.errors import DataError

NAMES = tuple("0123456789")
COUNT = 1797
INPUTS = np.arange(COUNT, dtype=np.float32)[:, None]
LABELS = np.arange(COUNT, dtype=np.int64) % 10


def splits(seed: int = 7) -> data.Splits:
    return data.shuffled(INPUTS, LABELS, seed=seed, names=NAMES)


def test_the_last_fifth_of_a_seeded_shuffle_is_held_out() -> None:
    order = np.random.default_rng(7).permutation(COUNT)
    assert len(splits().test) == 360
    assert splits().test.inputs[:, 0].tolist() == order[-360:].tolist()


def test_the_splits_are_disjoint_and_hold_every_sample() -> None:
    found = splits()
    held = np.concatenate([found.train.inputs, found.validation.inputs, found.test.inputs])[:, 0]
    assert sorted(held.tolist()) == list(range(COUNT))


def test_a_sample_keeps_its_label() -> None:
    for split in (splits().train, splits().validation, splits().test):
        assert (split.inputs[:, 0].astype(int) % 10 == split.labels).all()


def test_another_seed_holds_out_other_samples() -> None:
    assert not np.array_equal(splits(7).test.inputs, splits(8).test.inputs)
    assert np.array_equal(splits(7).test.inputs, splits(7).test.inputs)


def test_splits_are_written_to_the_same_bytes_each_time_and_read_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        data.save(splits(), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert np.array_equal(data.read(tmp_path / "one", "test").inputs, splits().test.inputs)
    assert data.read_names(tmp_path / "one") == NAMES


def test_an_archive_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", inputs=np.array([{"a": 1}], dtype=object), labels=LABELS)
    with pytest.raises(ValueError, match="allow_pickle"):
        data.read(tmp_path, "test")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": np.full_like(INPUTS, np.nan)}, "NaN or infinity"),
        ({"labels": LABELS + 1}, "labels 1 to 10, the limit is 0 to 9"),
        ({"labels": LABELS.astype(np.int32)}, "int32"),
        ({"inputs": INPUTS.astype(np.float64)}, "float64"),
        ({"inputs": INPUTS[:-1]}, "1796 inputs and 1797 labels"),
        ({"inputs": INPUTS[:0], "labels": LABELS[:0]}, "0 inputs and 0 labels"),
    ],
)
def test_splits_that_cannot_be_trained_on_are_refused(change: dict[str, Any], said: str) -> None:
    whole = data.Split(INPUTS, LABELS)
    broken = data.Splits(splits().train, dataclasses.replace(whole, **change), splits().test, NAMES)
    with pytest.raises(DataError, match=said):
        data.check(broken)


def test_samples_of_another_shape_are_refused_with_a_remedy() -> None:
    other = data.Split(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))
    with pytest.raises(DataError, match=r"validation has samples of \(2,\).*; "):
        data.check(data.Splits(splits().train, other, splits().test, NAMES))


def test_test_samples_that_training_saw_are_refused() -> None:
    with pytest.raises(DataError, match="of 1258 test inputs are also in training"):
        data.check(data.Splits(splits().train, splits().validation, splits().train, NAMES))


def test_what_is_no_splits_is_refused_by_its_type() -> None:
    with pytest.raises(DataError, match="returned dict"):
        data.check({"train": 1})


def test_a_source_that_the_recipe_does_not_name_is_refused() -> None:
    with pytest.raises(DataError, match="sources: 'mnist' is not in the recipe"):
        data.Sources(7, {}).folder("mnist")
