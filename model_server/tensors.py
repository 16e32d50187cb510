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
_WHOLE: frozenset[type] = frozenset({int})
_NUMBER: frozenset[type] = frozenset({int, float})
_JSON_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(NUMPY_TYPES, frozenset({int})),
    "BOOL": frozenset({bool}),
    TEXT: frozenset({str}),
    **dict.fromkeys(("FP16", "FP32", "FP64"), _NUMBER),
}


def check_shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    """Return `shape` as whole numbers that fit `spec`; raises RequestError. Nothing is allocated."""
    if type(shape) is not list or not _WHOLE.issuperset(map(type, shape)) or min(shape, default=1) < 1:
        raise RequestError(
            400, f"input {spec.name!r}: shape: {shown(shape)} is not a list of whole numbers of 1 or more"
        )
    wanted = spec.shape
    if len(shape) != len(wanted) or any(want not in (-1, got) for want, got in zip(wanted, shape, strict=True)):
        raise RequestError(
            400,
            f"input {spec.name!r}: shape: {shown(shape)} does not fit the model's {list(wanted)} (-1 is any length)",
        )
    return tuple(shape)


def to_array(spec: TensorSpec, shape: tuple[int, ...], data: object) -> Array:
    """Return `data`, flat or nested as `shape` says, as an array of `spec`'s datatype; raises RequestError."""
    flat = _flatten(spec, shape, data)
    if not _JSON_TYPES[spec.datatype].issuperset(map(type, flat)):
        raise _wrong_type(spec, flat)
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
        raise RequestError(
            422,
            f"output {spec.name!r}: a value is NaN or infinite, which JSON cannot carry; ask for it with "
            '`"parameters": {"binary_data": true}`',
        )
    return np.ascontiguousarray(array).reshape(-1)


def _flatten(spec: TensorSpec, shape: tuple[int, ...], data: object) -> list[Any]:
    if type(data) is not list:
        raise _unlike(spec, f"{shown(data)} is not a list of numbers, flat or nested as the shape")
    if not data or type(data[0]) is not list:
        if len(data) != math.prod(shape):
            raise _unlike(spec, f"{len(data)} values, the shape says {math.prod(shape)}")
        return data
    if len(data) != shape[0]:
        raise _unlike(spec, f"{len(data)} lists at the outermost level, the shape says {shape[0]}")
    level: list[Any] = data
    # Level by level, so that no depth of nesting can exhaust the stack.
    for length in shape[1:]:
        if not all(type(one) is list and len(one) == length for one in level):
            raise _unlike(spec, f"not nested as shape {list(shape)} says: a list of {length} is missing")
        level = list(chain.from_iterable(level))
    return level


def _unlike(spec: TensorSpec, reason: str) -> RequestError:
    return RequestError(400, f"input {spec.name!r}: data: {reason}")


def _wrong_type(spec: TensorSpec, flat: list[Any]) -> RequestError:
    first = next(one for one in flat if type(one) not in _JSON_TYPES[spec.datatype])
    wanted = {"BOOL": "true or false", "FP": "a number", TEXT: "a text"}.get(
        spec.datatype.rstrip("0123456789"), "a whole number"
    )
    return _unlike(spec, f"{shown(first)} is not {wanted}, as {spec.datatype} needs")


def _out_of_range(spec: TensorSpec) -> RequestError:
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return RequestError(
        400, f"input {spec.name!r}: data: a value is outside {spec.datatype}'s range, {limits.min} to {limits.max}"
    )
