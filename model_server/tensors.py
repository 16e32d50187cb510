"""JSON numbers to numpy arrays and back, strictly: nothing is rounded, cut or guessed."""

import math
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_server.contract import TEXT, TensorSpec
from model_server.errors import RequestError, shown

Array = NDArray[Any]

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    TEXT: np.object_,
}


def check_shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    """Return `shape` as whole numbers that fit `spec`; raises RequestError. Nothing is allocated."""
    where = f"input {spec.name!r}: shape"
    if not isinstance(shape, list) or not all(type(one) is int and one >= 1 for one in shape):
        raise RequestError(400, f"{where}: {shown(shape)} is not a list of whole numbers of 1 or more")
    wanted = list(spec.shape)
    fits = len(shape) == len(wanted) and all(want in (-1, got) for want, got in zip(wanted, shape, strict=True))
    if not fits:
        raise RequestError(400, f"{where}: {shown(shape)} does not fit the model's {wanted} (-1 is any length)")
    return tuple(shape)


def to_array(spec: TensorSpec, shape: tuple[int, ...], data: object) -> Array:
    """Return `data`, flat or nested as `shape` says, as an array of `spec`'s datatype; raises RequestError."""
    flat = _flatten(spec, shape, data)
    _check_types(spec, flat)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=NUMPY_TYPES[spec.datatype])
    except OverflowError as error:
        raise _out_of_range(spec) from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _out_of_range(spec)
    return array.reshape(shape)


def to_flat(spec: TensorSpec, array: Array) -> Array:
    """Return `array` flat, as orjson takes it; raises RequestError where a value is NaN or infinite."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(422, f"output {spec.name!r}: a value is NaN or infinite, which JSON cannot carry")
    return np.ascontiguousarray(array).reshape(-1)


def _flatten(spec: TensorSpec, shape: tuple[int, ...], data: object) -> list[Any]:
    where = f"input {spec.name!r}: data"
    if not isinstance(data, list):
        raise RequestError(400, f"{where}: {shown(data)} is not a list of numbers, flat or nested as the shape")
    if not data or type(data[0]) is not list:
        return _counted(where, data, math.prod(shape))
    if len(data) != shape[0]:
        raise RequestError(400, f"{where}: {len(data)} lists at the outermost level, the shape says {shape[0]}")
    level: list[Any] = data
    # Level by level, so that no depth of nesting can exhaust the stack.
    for length in shape[1:]:
        if not all(type(one) is list and len(one) == length for one in level):
            raise RequestError(400, f"{where}: not nested as shape {list(shape)} says: a list of {length} is missing")
        level = list(chain.from_iterable(level))
    return level


def _counted(where: str, data: list[Any], count: int) -> list[Any]:
    if len(data) != count:
        raise RequestError(400, f"{where}: {len(data)} values, the shape says {count}")
    return data


def _check_types(spec: TensorSpec, flat: list[Any]) -> None:
    allowed: set[type] = {int}
    if spec.datatype == "BOOL":
        allowed = {bool}
    elif spec.datatype == TEXT:
        allowed = {str}
    elif spec.datatype.startswith("FP"):
        allowed = {int, float}
    wrong = set(map(type, flat)) - allowed
    if not wrong:
        return
    first = next(one for one in flat if type(one) in wrong)
    wanted = {"BOOL": "true or false", "FP": "a number", TEXT: "a text"}.get(
        spec.datatype.rstrip("0123456789"), "a whole number"
    )
    raise RequestError(400, f"input {spec.name!r}: data: {shown(first)} is not {wanted}, as {spec.datatype} needs")


def _out_of_range(spec: TensorSpec) -> RequestError:
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return RequestError(
        400, f"input {spec.name!r}: data: a value is outside {spec.datatype}'s range, {limits.min} to {limits.max}"
    )
