"""Tensors as bytes: the binary tensor extension, little-endian, each text with its length before it.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import math
import struct
from typing import Any

import numpy as np

from model_server.contract import TEXT, ModelContract, TensorSpec
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


def implied(contract: ModelContract, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON that a body of one tensor's bytes alone leaves out, and the bytes; raises RequestError (400).

    How many samples there are follows from the bytes; a text is one, without its length before it.
    """
    if len(contract.inputs) != 1:
        raise RequestError(400, f"bytes without JSON are one tensor, the model takes {len(contract.inputs)}; send JSON")
    spec = contract.inputs[0]
    if spec.datatype == TEXT:
        shape, body = [1], LENGTH.pack(len(body)) + body
    else:
        shape = _implied_shape(spec, len(body))
    tensor = {"name": spec.name, "datatype": spec.datatype, "shape": shape}
    told = {**tensor, "parameters": {"binary_data_size": len(body)}}
    return {"inputs": [told], "parameters": {"binary_data_output": True}}, body


def encode(array: Array) -> bytes:
    """Return `array` as the extension writes it, row-major; texts do not leave the server."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _implied_shape(spec: TensorSpec, size: int) -> list[int]:
    # Where a sample has a free length of its own, there is one sample.
    sized = -1 not in spec.shape[1:]
    shape = list(spec.shape) if sized else [1, *spec.shape[1:]]
    if shape.count(-1) > 1:
        raise RequestError(400, f"input {spec.name!r}: {spec.shape[1:].count(-1)} of its lengths are free; send JSON")
    unit = np.dtype(NUMPY_TYPES[spec.datatype]).itemsize * math.prod(one for one in shape if one != -1)
    count, rest = divmod(size, unit)
    if rest or count == 0 or (count != 1 and -1 not in shape):
        raise RequestError(400, f"input {spec.name!r}: {size} bytes, {spec.datatype} of shape {shape} has {unit} each")
    return [count if one == -1 else one for one in shape]


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
