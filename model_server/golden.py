"""The golden set: held-out samples with the artifact's own answers, which a session must give again."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model_server.contract import ABSOLUTE, RELATIVE, TEXT, ModelContract, TensorSpec
from model_server.errors import ConfigError
from model_server.tensors import NUMPY_TYPES, Array

if TYPE_CHECKING:
    # What compares answers over HTTP reads the golden set too, and runs no model.
    from model_server.runtime import Session


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The session's answers differ from the golden ones by `difference`, where `limit` is allowed."""

    output: str
    difference: float
    limit: float

    def reason(self) -> str:
        """Return why the model may not answer."""
        return (
            f"golden answers differ: output {self.output!r} by {self.difference:.6g}, "
            f"at most {self.limit:.6g} is allowed; the weights or the runtime are not those that were baked"
        )


def check(session: Session, inputs: dict[str, Array], wanted: dict[str, Array]) -> Mismatch | None:
    """Answer the golden set and then one sample alone; returns what differs. Raises ConfigError, RunError."""
    contract = session.contract
    answers = [session.run(chunk, contract.outputs) for chunk in chunks(contract, inputs)]
    found = mismatch(contract, {spec.name: _column(answers, at) for at, spec in enumerate(contract.outputs)}, wanted)
    if found is not None:
        return found
    if all(spec.shape[0] == -1 for spec in contract.inputs):
        first = {name: array[:1] for name, array in inputs.items()}
        session.run(first, contract.outputs)
    return None


def read_golden(contract: ModelContract) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return golden inputs and outputs by tensor name; raises ConfigError.

    A model of one input keeps it as `inputs`, one of several as `inputs.<name>` each; outputs likewise.
    """
    try:
        with np.load(contract.golden, allow_pickle=False) as file:
            arrays: dict[str, Array] = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{contract.golden}: cannot be read ({error}); bake the image again") from error
    inputs = _golden_part(contract.golden, arrays, "inputs", contract.inputs)
    outputs = _golden_part(contract.golden, arrays, "outputs", contract.outputs)
    counts = {len(array) for array in (*inputs.values(), *outputs.values())}
    if len(counts) > 1:
        raise ConfigError(f"{contract.golden}: {sorted(counts)} samples in its arrays, not one number; bake it again")
    return inputs, outputs


def _golden_part(path: Path, arrays: dict[str, Array], part: str, specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for spec in specs:
        key = part if len(specs) == 1 else f"{part}.{spec.name}"
        array = arrays.get(key)
        if array is None or array.ndim == 0 or not len(array):
            raise ConfigError(f"{path}: {key}: no samples; bake the image again")
        # Texts are kept as numpy's own strings, which need no pickle.
        wanted = array.dtype if _is_text(spec, array) else np.dtype(NUMPY_TYPES[spec.datatype])
        if array.dtype != wanted or not _fits(spec.shape[1:], array.shape[1:]):
            raise ConfigError(
                f"{path}: {key}: {array.dtype} {list(array.shape)}, but {spec.name!r} is {wanted} {list(spec.shape)}; "
                "bake the image again"
            )
        found[spec.name] = array
    return found


def _is_text(spec: TensorSpec, array: Array) -> bool:
    return spec.datatype == TEXT and array.dtype.kind == "U"


def _fits(wanted: tuple[int, ...], got: tuple[int, ...]) -> bool:
    return len(wanted) == len(got) and all(want in (-1, one) for want, one in zip(wanted, got, strict=True))


def mismatch(contract: ModelContract, got: dict[str, Array], wanted: dict[str, Array]) -> Mismatch | None:
    """Return the first output whose answers differ from the golden ones by more than is allowed."""
    for spec in contract.outputs:
        found = _mismatch(spec, got[spec.name], wanted[spec.name])
        if found is not None:
            return found
    return None


def _column(answers: list[list[Array]], at: int) -> Array:
    return np.concatenate([one[at] for one in answers])


def chunks(contract: ModelContract, inputs: dict[str, Array]) -> Iterator[dict[str, Array]]:
    """Yield the samples as the model takes them: all at once, or by a batch size that the model fixes."""
    count = len(next(iter(inputs.values())))
    fixed = [spec.shape[0] for spec in contract.inputs if spec.shape[0] > 0]
    size = fixed[0] if fixed else count
    if count < size:
        raise ConfigError(f"{contract.golden}: {count} samples, but the model takes {size} at a time; bake it again")
    for start in range(0, count - size + 1, size):
        yield {name: array[start : start + size] for name, array in inputs.items()}


def _mismatch(spec: TensorSpec, got: Array, wanted: Array) -> Mismatch | None:
    wanted = wanted[: len(got)]
    if got.shape != wanted.shape:
        return Mismatch(spec.name, float("inf"), 0.0)
    if not np.issubdtype(wanted.dtype, np.floating):
        differing = int(np.count_nonzero(got != wanted))
        return Mismatch(spec.name, float(differing), 0.0) if differing else None
    limit = ABSOLUTE + RELATIVE * float(np.max(np.abs(wanted.astype(np.float64))))
    difference = float(np.max(np.abs(got.astype(np.float64) - wanted.astype(np.float64))))
    # Written so that a NaN on either side counts as a mismatch.
    return None if difference <= limit else Mismatch(spec.name, difference, limit)
