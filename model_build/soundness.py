"""What a model must be before its figures count: our names, types and shapes, any batch, finite answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_build.artifact import INPUT
from model_build.data import Inputs
from model_build.measure import Artifact, Tensor, UnusableError
from model_build.probes import first

PROBES = (1, 2, 5)
TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)"}


@dataclass(frozen=True)
class Signature:
    """What is asked for: one input like `inputs`, any length along `axes`, and one float `output` of `width`."""

    inputs: Inputs
    axes: tuple[int, ...]
    output: str
    width: int


def unsound(name: str, model: Artifact, wanted: Signature) -> list[str]:
    """Return what is wrong with a model's signature or its answers to small batches."""
    shape: tuple[int | None, ...] = wanted.inputs.shape
    free = tuple(None if axis in (0, *wanted.axes) else size for axis, size in enumerate(shape))
    given = _tensor(name, "input", model.inputs, Tensor(INPUT, TYPES[str(wanted.inputs.dtype)], free))
    answered = _tensor(
        name, "output", model.outputs, Tensor(wanted.output, "tensor(float)", (None, wanted.width)), leaves_open=True
    )
    return [*given, *answered] or _batches(name, model, wanted)


def bad_answers(name: str, answers: NDArray[np.float32] | None, wanted: tuple[int, int]) -> list[str]:
    """Return what is wrong with the answers to a whole split, where [n, width] is `wanted`."""
    if answers is None or answers.shape != wanted:
        found = None if answers is None else list(answers.shape)
        return [
            f"gates: {name} gives answers of shape {found}, the limit is {list(wanted)}; correct the model's forward"
        ]
    bad = int((~np.isfinite(answers)).any(axis=1).sum())
    if bad:
        miss = f"gates: {name} answers {bad} of {len(answers)} held-out samples with NaN or infinity, the limit is 0"
        return [f"{miss}; check the weights and the learning rate"]
    return []


def _tensor(name: str, kind: str, found: list[Tensor], wanted: Tensor, *, leaves_open: bool = False) -> list[str]:
    """Compare with `wanted`, in whose shape None must be free; `leaves_open` lets any other size be free too."""
    if len(found) != 1 or found[0].name != wanted.name or found[0].type != wanted.type:
        said = [(one.name, one.type) for one in found]
        of = wanted.type.removeprefix("tensor(").removesuffix(")")
        return [f"gates: {name} has the {kind}s {said}, the limit is one {of} {wanted.name!r}; export it again"]
    shape = found[0].shape
    fixed = [
        axis for axis, size in enumerate(wanted.shape[: len(shape)]) if size is None and isinstance(shape[axis], int)
    ]
    if fixed and len(shape) == len(wanted.shape):
        what = "a fixed batch" if fixed[0] == 0 else f"a fixed length of axis {fixed[0]}"
        return [
            f"gates: {name} has {what} in {kind} {list(shape)}, the limit is a dynamic one; export with dynamic shapes"
        ]
    pairs = zip(shape, wanted.shape, strict=False)
    agree = all(size == want or want is None or (leaves_open and not isinstance(size, int)) for size, want in pairs)
    if len(shape) != len(wanted.shape) or not agree:
        told = ", ".join(["batch", *("any" if size is None else str(size) for size in wanted.shape[1:])])
        return [f"gates: {name} has an {kind} of shape {list(shape)}, the limit is [{told}]; make model and data agree"]
    return []


def _batches(name: str, model: Artifact, wanted: Signature) -> list[str]:
    misses = []
    for batch in PROBES:
        try:
            answer = model.answer(first(wanted.inputs, batch))
        except UnusableError as error:
            misses.append(f"gates: {name}: {error}; the limit is any batch; export with dynamic shapes")
            continue
        if answer.shape != (batch, wanted.width) or answer.dtype != np.float32:
            misses.append(
                f"gates: {name} answers a batch of {batch} with {answer.dtype} {list(answer.shape)}, the limit is "
                f"float32 [{batch}, {wanted.width}]; correct the model's forward"
            )
    return misses
