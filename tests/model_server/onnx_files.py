"""Small ONNX files written byte by byte (field numbers from onnx.proto), so that no test here needs torch or onnx."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ELEMENT = {
    "FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6,
    "INT64": 7, "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13,
}  # fmt: skip
FLOAT, INT64, BOOL = ELEMENT["FP32"], ELEMENT["INT64"], ELEMENT["BOOL"]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _value(name: str, element: int, shape: Sequence[int]) -> bytes:
    dims = b"".join(_field(1, _field(2, "n") if one == -1 else _field(1, one)) for one in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, element) + _field(2, dims)))


def _tensor(name: str, element: int, array: NDArray[np.generic]) -> bytes:
    dims = b"".join(_field(1, one) for one in array.shape)
    return dims + _field(2, element) + _field(8, name) + _field(9, array.tobytes())


@dataclass(frozen=True)
class Graph:
    """A graph's parts, already encoded: nodes, initializers, inputs, outputs."""

    nodes: tuple[bytes, ...]
    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    initializers: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        parts = [_field(1, one) for one in self.nodes] + [_field(2, "graph")]
        parts += [_field(5, one) for one in self.initializers]
        parts += [_field(11, one) for one in self.inputs] + [_field(12, one) for one in self.outputs]
        return b"".join(parts)

    def model(self) -> bytes:
        return _field(1, 8) + _field(7, self.encode()) + _field(8, _field(2, 17))


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: bytes = b"") -> bytes:
    names = b"".join(_field(1, one) for one in inputs) + b"".join(_field(2, one) for one in outputs)
    return names + _field(4, kind) + attributes


def linear(weights: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """Return a model of `y = x @ weights + bias`."""
    return Graph(
        nodes=(_node("MatMul", ["x", "w"], ["xw"]), _node("Add", ["xw", "b"], ["y"])),
        initializers=(_tensor("w", FLOAT, weights), _tensor("b", FLOAT, bias)),
        inputs=(_value("x", FLOAT, [-1, weights.shape[0]]),),
        outputs=(_value("y", FLOAT, [-1, weights.shape[1]]),),
    ).model()


def identity(datatype: str, shape: Sequence[int]) -> bytes:
    """Return a model that answers its input."""
    element = ELEMENT[datatype]
    return Graph(
        nodes=(_node("Identity", ["x"], ["y"]),),
        inputs=(_value("x", element, shape),),
        outputs=(_value("y", element, shape),),
    ).model()


def sum_and_reciprocal() -> bytes:
    """Return a model of two inputs and two outputs: `a + b` and `1 / b` (infinite where b is 0)."""
    shape = [-1, 2]
    return Graph(
        nodes=(_node("Add", ["a", "b"], ["sum"]), _node("Reciprocal", ["b"], ["inverse"])),
        inputs=(_value("a", FLOAT, shape), _value("b", FLOAT, shape)),
        outputs=(_value("sum", FLOAT, shape), _value("inverse", FLOAT, shape)),
    ).model()


def lookup(table: NDArray[np.float32]) -> bytes:
    """Return a model of `y = table[x]`, which fails where `x` is outside."""
    return Graph(
        nodes=(_node("Gather", ["table", "x"], ["y"]),),
        initializers=(_tensor("table", FLOAT, table),),
        inputs=(_value("x", INT64, [-1, 1]),),
        outputs=(_value("y", FLOAT, [-1, 1]),),
    ).model()


def counting() -> bytes:
    """Return a model that adds 1 to `x` `times` times, so that a request can ask for as much work as it likes."""
    body = Graph(
        nodes=(_node("Identity", ["again"], ["more"]), _node("Add", ["before", "one"], ["after"])),
        initializers=(_tensor("one", FLOAT, np.ones(1, np.float32)),),
        inputs=(_value("at", INT64, []), _value("again", BOOL, []), _value("before", FLOAT, [-1, 1])),
        outputs=(_value("more", BOOL, []), _value("after", FLOAT, [-1, 1])),
    )
    attribute = _field(5, _field(1, "body") + _field(6, body.encode()) + _field(20, 5))
    return Graph(
        nodes=(_node("Loop", ["times", "", "x"], ["y"], attribute),),
        inputs=(_value("times", INT64, [1]), _value("x", FLOAT, [-1, 1])),
        outputs=(_value("y", FLOAT, [-1, 1]),),
    ).model()
