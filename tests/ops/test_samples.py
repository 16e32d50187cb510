"""Held-out samples read without numpy are what numpy wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ops.samples import TYPES, SamplesError, of_recipe, read


def written(path: Path, inputs: NDArray[Any], labels: NDArray[Any]) -> Path:
    np.savez(path, inputs=inputs, labels=labels)
    return path


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_each_type_reads_as_numpy_wrote_it(tmp_path: Path, kind: str) -> None:
    inputs = np.arange(12).reshape(3, 2, 2).astype(kind)
    found = read(written(tmp_path / "a.npz", inputs, np.array([2, 0, 1])))
    assert found.inputs.shape == (3, 2, 2)
    assert found.inputs.row(1) == inputs[1].flatten().tolist()
    assert found.labels == (2, 0, 1)


def test_a_compressed_archive_reads_too(tmp_path: Path) -> None:
    inputs = np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2)
    np.savez_compressed(tmp_path / "a.npz", inputs=inputs, labels=np.arange(4))
    assert read(tmp_path / "a.npz").inputs.row(3) == inputs[3].tolist()


def test_columns_first_is_refused(tmp_path: Path) -> None:
    inputs = np.asfortranarray(np.zeros((3, 2), np.float32))
    with pytest.raises(SamplesError, match="C order"):
        read(written(tmp_path / "a.npz", inputs, np.arange(3)))


def test_a_label_too_few_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match="one answer a sample"):
        read(written(tmp_path / "a.npz", np.zeros((3, 2), np.float32), np.arange(2)))


def test_no_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match="one answer a sample"):
        read(written(tmp_path / "a.npz", np.zeros((0, 2), np.float32), np.arange(0)))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_a_file_that_is_no_archive_is_one_line_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(SamplesError, match=r"a\.npz") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_recipe_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match=r"models/nothing/recipe\.yaml"):
        of_recipe(tmp_path, "nothing", "models/nothing/recipe.yaml")


def test_a_build_environment_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "models/tiny").mkdir(parents=True)
    (tmp_path / "models/tiny/recipe.yaml").touch()
    with pytest.raises(SamplesError, match="the build environment cannot be made"):
        of_recipe(tmp_path, "tiny", "models/tiny/recipe.yaml")
