"""Three splits of a data set: train, validation, and a test split that gates and reports alone read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model_build import npz
from model_build.errors import DataError

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sources:
    """What a loader gets: the recipe's seed and the unpacked data packages by name."""

    seed: int
    folders: Mapping[str, Path]

    def folder(self, package: str) -> Path:
        """Return the folder of a data package; raises DataError where the recipe does not name it."""
        if package not in self.folders:
            raise DataError(f"sources: {package!r} is not in the recipe; add it under sources")
        return self.folders[package]


@dataclass(frozen=True)
class Split:
    """Samples and their labels: `inputs` [n, …] float32, `labels` [n] int64."""

    inputs: Floats
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """A data set in three splits; `names` are the labels' names in order."""

    train: Split
    validation: Split
    test: Split
    names: tuple[str, ...]


def shuffled(inputs: Floats, labels: Labels, *, seed: int, names: tuple[str, ...]) -> Splits:
    """Split after a seeded shuffle: the last fifth is held out, an eighth of the rest is validation."""
    if len(inputs) != len(labels):
        raise DataError(f"data: {len(inputs)} inputs have {len(labels)} labels; give each input one label")
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out = len(order) - (len(order) + 4) // 5
    training = held_out - held_out // 8

    def part(chosen: NDArray[np.int64]) -> Split:
        return Split(inputs[chosen].astype(np.float32), labels[chosen].astype(np.int64))

    return Splits(part(order[:training]), part(order[training:held_out]), part(order[held_out:]), names)


def check(splits: object) -> Splits:
    """Return `splits` where it is usable; raises DataError naming the split, what it holds and the remedy."""
    if not isinstance(splits, Splits):
        raise DataError(f"data: the loader returned {type(splits).__name__}; return model_build.data.Splits")
    for name in SPLITS:
        _check_split(name, getattr(splits, name), splits)
    overlap = _shared(splits.train, splits.test) + _shared(splits.validation, splits.test)
    if overlap > max(1, len(splits.test) // 100):
        raise DataError(
            f"data: {overlap} of {len(splits.test)} test inputs are also in training or validation, "
            "the limit is 1 in 100; hold them out"
        )
    return splits


def _check_split(name: str, split: Split, splits: Splits) -> None:
    inputs, labels = split.inputs, split.labels
    if len(labels) == 0 or len(inputs) != len(labels):
        raise DataError(f"data: {name} has {len(inputs)} inputs and {len(labels)} labels; give one label an input")
    if inputs.dtype != np.float32 or labels.dtype != np.int64 or labels.ndim != 1:
        raise DataError(f"data: {name} holds {inputs.dtype} and {labels.dtype}; return float32 inputs, int64 labels")
    if inputs.shape[1:] != splits.train.inputs.shape[1:]:
        wanted = splits.train.inputs.shape[1:]
        raise DataError(f"data: {name} has samples of {inputs.shape[1:]}, train of {wanted}; give all splits one shape")
    if not np.isfinite(inputs).all():
        raise DataError(f"data: {name} holds NaN or infinity; leave those samples out")
    if labels.min() < 0 or labels.max() >= len(splits.names):
        raise DataError(
            f"data: {name} has labels {labels.min()} to {labels.max()}, the limit is 0 to {len(splits.names) - 1}; "
            "correct the labels or name them all"
        )


def _shared(one: Split, other: Split) -> int:
    known = {sample.tobytes() for sample in one.inputs}
    return sum(sample.tobytes() in known for sample in other.inputs)


def save(splits: Splits, folder: Path) -> None:
    """Write one archive a split and the labels' names, so that a reader opens only the split it may read."""
    for name in SPLITS:
        split: Split = getattr(splits, name)
        npz.save(folder / f"{name}.npz", {"inputs": split.inputs, "labels": split.labels})
    (folder / "names.json").write_text(json.dumps(list(splits.names)))


def read(folder: Path, name: str) -> Split:
    """Return one split that `save` wrote."""
    arrays = npz.load(folder / f"{name}.npz")
    return Split(cast(Floats, arrays["inputs"]), cast(Labels, arrays["labels"]))


def read_names(folder: Path) -> tuple[str, ...]:
    """Return the labels' names that `save` wrote."""
    return tuple(json.loads((folder / "names.json").read_bytes()))
