"""Held-out samples for the program's environment, which has no numpy: an .npz read with the standard library alone."""

import ast
import io
import math
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXTS = "<U"  # then the characters that each text has room for
MAGIC = b"\x93NUMPY"
# numpy's little-endian type names, the protocol's, and the struct module's.
TYPES = {
    "|b1": ("BOOL", "?"),
    "|i1": ("INT8", "b"),
    "|u1": ("UINT8", "B"),
    "<i2": ("INT16", "h"),
    "<u2": ("UINT16", "H"),
    "<i4": ("INT32", "i"),
    "<u4": ("UINT32", "I"),
    "<i8": ("INT64", "q"),
    "<u8": ("UINT64", "Q"),
    "<f4": ("FP32", "f"),
    "<f8": ("FP64", "d"),
}


class SamplesError(Exception):
    """The samples cannot be had; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array in C order; `datatype` is the protocol's name."""

    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]

    def row(self, at: int) -> list[Any]:
        """Return the values of one sample, flat."""
        size = math.prod(self.shape[1:])
        return list(self.values[at * size : (at + 1) * size])


@dataclass(frozen=True, slots=True)
class Samples:
    """Held-out inputs with the right answers: a label each, or the vector that the fp32 source gives."""

    inputs: Array
    labels: tuple[int, ...] = ()
    wanted: Array | None = None

    def __len__(self) -> int:
        return self.inputs.shape[0]


def of_recipe(project: Path, model: str, recipe: str) -> Samples:
    """Return the held-out split of a recipe, named from the project's folder; raises SamplesError.

    The build environment makes the split, as it did for the gates.
    """
    if not (project / recipe).is_file():
        raise SamplesError(f"{recipe}: no such file; run this in the project's folder, or give --held-out {model}=FILE")
    python = _build_python(project)
    with tempfile.TemporaryDirectory(prefix="modelstack-held-out-") as folder:
        out = Path(folder) / "held-out.npz"
        command = [python, "-m", "model_build", "held-out", "--recipe", recipe, "--out", str(out)]
        done = subprocess.run(command, cwd=project, stdout=sys.stderr, check=False)
        if done.returncode:
            raise SamplesError(
                f"{recipe}: its held-out split could not be made (exit code {done.returncode}); see above"
            )
        return read(out)


def _build_python(project: Path) -> str:
    """Return the build environment's interpreter, made where another stack's digest left nothing to build."""
    command = [sys.executable, "-m", "model_build.environment"]
    done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SamplesError(f"the build environment cannot be made (exit code {done.returncode}); see above")
    return done.stdout.strip()


def read(path: Path) -> Samples:
    """Return the samples in an .npz that holds `inputs`, and `labels` or `wanted`; raises SamplesError."""
    try:
        with zipfile.ZipFile(path) as archive:
            answers = "wanted" if "wanted.npy" in archive.namelist() else "labels"
            inputs, right = (_array(archive.read(f"{name}.npy")) for name in ("inputs", answers))
    except (OSError, KeyError, ValueError, SyntaxError, struct.error, zipfile.BadZipFile) as error:
        raise SamplesError(f"{path}: no inputs and labels can be read from it ({error}); make it again") from error
    rank = 2 if answers == "wanted" else 1
    if len(right.shape) != rank or not right.values or inputs.shape[:1] != right.shape[:1]:
        raise SamplesError(
            f"{path}: inputs {list(inputs.shape)}, {answers} {list(right.shape)}; one answer a sample is needed"
        )
    if answers == "wanted":
        return Samples(inputs, wanted=right)
    return Samples(inputs, tuple(int(one) for one in right.values))


def arrays(content: bytes) -> dict[str, Array]:
    """Return name → array of an .npz; raises SamplesError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except (KeyError, ValueError, SyntaxError, struct.error, zipfile.BadZipFile) as error:
        raise SamplesError(f"an .npz of {len(content)} bytes cannot be read ({error}); make it again") from error


def _array(raw: bytes) -> Array:
    """Return the array in an .npy file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    if raw[:6] != MAGIC:
        raise ValueError("not an .npy file")
    start, length = (10, "<H") if raw[6] == 1 else (12, "<I")
    end = start + struct.unpack_from(length, raw, 8)[0]
    header = ast.literal_eval(raw[start:end].decode("utf-8"))
    shape = tuple(header["shape"])
    if header["descr"].startswith(TEXTS) and not header["fortran_order"]:
        return Array("BYTES", shape, _texts(raw[end:], int(header["descr"].removeprefix(TEXTS)), math.prod(shape)))
    if header["fortran_order"] or header["descr"] not in TYPES:
        raise ValueError(f"{header['descr']!r} is not a plain little-endian type in C order")
    datatype, code = TYPES[header["descr"]]
    return Array(datatype, shape, struct.unpack_from(f"<{math.prod(shape)}{code}", raw, end))


def _texts(raw: bytes, characters: int, count: int) -> tuple[str, ...]:
    size = 4 * characters
    return tuple(raw[at * size : (at + 1) * size].decode("utf-32-le").rstrip("\0") for at in range(count))
