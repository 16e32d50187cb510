"""Three splits of a data set: train, validation, and a test split that gates and reports alone read."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from model_build import npz
from model_build.errors import DataError

if TYPE_CHECKING:
    from model_server.tokens import Tokens

Floats = NDArray[np.float32]
Inputs = NDArray[Any]  # float32, or token ids of int64
Labels = NDArray[np.int64]
SPLITS = ("train", "validation", "test")
NAMES, TOKENIZER, TOKENS = "names.json", "tokenizer.json", "tokens.json"


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
    """Samples and their labels: `inputs` [n, …] float32, `labels` [n] int64.

    Of texts, `inputs` are token ids [n, tokens] int64, `texts` what they stand for. Without labels `labels` is empty.
    """

    inputs: Inputs
    labels: Labels
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Tokenizer:
    """How a text becomes a sample: a tokenizer.json, and the most tokens a text keeps."""

    file: Path
    most: int

    def open(self) -> "Tokens":
        """Return what encodes; data without text needs no library for it."""
        from model_server.tokens import Tokens  # noqa: PLC0415

        return Tokens(self.file, self.most)


@dataclass(frozen=True)
class Splits:
    """A data set in three splits; `names` are the labels' names in order, none where nothing is labelled."""

    train: Split
    validation: Split
    test: Split
    names: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None


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


def of_texts(parts: Mapping[str, Sequence[str]], tokenizer: Tokenizer) -> Splits:
    """Return the splits of unlabelled texts by split name, padded with token 0 to the longest of them all."""
    tokens = tokenizer.open()
    ids = {name: tokens.encode(parts[name]) for name in SPLITS}
    longest = max(one.shape[1] for one in ids.values())

    def part(name: str) -> Split:
        padded = np.pad(ids[name], ((0, 0), (0, longest - ids[name].shape[1])))
        return Split(padded, np.zeros(0, np.int64), tuple(parts[name]))

    return Splits(part("train"), part("validation"), part("test"), tokenizer=tokenizer)


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
    labelled = len(inputs) if splits.names else 0
    if len(inputs) == 0 or len(labels) != labelled:
        raise DataError(
            f"data: {name} has {len(inputs)} inputs and {len(labels)} labels; give one label an input, or no names"
        )
    kind = "float32" if splits.tokenizer is None else "int64"
    if inputs.dtype != kind or labels.dtype != np.int64 or labels.ndim != 1:
        raise DataError(f"data: {name} holds {inputs.dtype} and {labels.dtype}; return {kind} inputs, int64 labels")
    if inputs.shape[1:] != splits.train.inputs.shape[1:]:
        wanted = splits.train.inputs.shape[1:]
        raise DataError(f"data: {name} has samples of {inputs.shape[1:]}, train of {wanted}; give all splits one shape")
    if not np.isfinite(inputs).all():
        raise DataError(f"data: {name} holds NaN or infinity; leave those samples out")
    if labelled and (labels.min() < 0 or labels.max() >= len(splits.names)):
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
        arrays = {"inputs": split.inputs, "labels": split.labels}
        npz.save(folder / f"{name}.npz", arrays | ({"texts": np.array(split.texts)} if split.texts else {}))
    (folder / NAMES).write_text(json.dumps(list(splits.names)))
    if splits.tokenizer is not None:
        shutil.copyfile(splits.tokenizer.file, folder / TOKENIZER)
        (folder / TOKENS).write_text(json.dumps({"most": splits.tokenizer.most}))


def read(folder: Path, name: str) -> Split:
    """Return one split that `save` wrote."""
    arrays = npz.load(folder / f"{name}.npz")
    texts = arrays["texts"].tolist() if "texts" in arrays else ()
    return Split(cast(Inputs, arrays["inputs"]), cast(Labels, arrays["labels"]), tuple(texts))


def read_names(folder: Path) -> tuple[str, ...]:
    """Return the labels' names that `save` wrote."""
    return tuple(json.loads((folder / NAMES).read_bytes()))


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """Return the tokenizer that `save` wrote; None where the data is no text."""
    if not (folder / TOKENIZER).is_file():
        return None
    return Tokenizer(folder / TOKENIZER, json.loads((folder / TOKENS).read_bytes())["most"])
