"""Tensors as bytes: the binary tensor extension, little-endian, each text with its length before it.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import math
import struct

import numpy as np

from model_server.contract import TEXT, TensorSpec
from model_server.errors import RequestError
from model_server.tensors import NUMPY_TYPES, Array

LENGTH = struct.Struct("<I")


def decode(spec: TensorSpec, shape: tuple[int, ...], raw: memoryview) -> Array:
    """Return `raw` as an array of `spec`'s datatype and `shape`, without a copy; raises RequestError."""
    if spec.datatype == TEXT:
        return _texts(spec, math.prod(shape), raw).reshape(shape)
    dtype = np.dtype(NUMPY_TYPES[spec.datatype]).newbyteorder("<")
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise RequestError(
            400,
            f"input {spec.name!r}: binary_data_size: {len(raw)} bytes, {spec.datatype} of shape {list(shape)} "
            f"has {wanted}",
        )
    if spec.datatype == "BOOL" and np.frombuffer(raw, np.uint8).max() > 1:
        raise RequestError(400, f"input {spec.name!r}: a byte is neither 0 nor 1, as BOOL needs")
    return np.frombuffer(raw, dtype).reshape(shape)


def encode(array: Array) -> bytes:
    """Return `array` as the extension writes it, row-major; texts do not leave the server."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _texts(spec: TensorSpec, count: int, raw: memoryview) -> Array:
    found: list[str] = []
    at = 0
    # Bounded by the bytes there are, since a shape may promise any number.
    while at + LENGTH.size <= len(raw) and len(found) < count:
        end = at + LENGTH.size + LENGTH.unpack_from(raw, at)[0]
        if end > len(raw):
            break
        found.append(_text(spec, raw[at + LENGTH.size : end]))
        at = end
    if at != len(raw) or len(found) != count:
        raise RequestError(
            400,
            f"input {spec.name!r}: {len(raw)} bytes hold {len(found)} whole texts, the shape says {count}; "
            "each is its length in 4 little-endian bytes and then its UTF-8",
        )
    array = np.empty(count, np.object_)
    array[:] = found
    return array


def _text(spec: TensorSpec, raw: memoryview) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"input {spec.name!r}: a text is not valid UTF-8 ({error.reason})") from error
