"""Large weights in files beside the graph: those that a later build leaves as they are, no push sends again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.external_data_helper import set_external_data, uses_external_data

WEIGHTS = "weights-*.bin"
LARGEST_FILE = 64 * 1024 * 1024
SMALLEST_TENSOR = 1024


def place(source: Path, target: Path) -> None:
    """Write a small graph as it is, and one of LARGEST_FILE bytes or more split."""
    if source.stat().st_size < LARGEST_FILE:
        shutil.copyfile(source, target)
    else:
        split(source, target, LARGEST_FILE)


def split(source: Path, target: Path, largest_file: int) -> None:
    """Write the graph at `source` to `target` with its weights in `weights-000.bin` and so on beside it.

    They stand in the order in which the graph comes to them, and a file ends with the tensor that brings it to
    `largest_file` bytes: what is before a tensor decides which file it is in, so a new head changes the last alone.
    """
    model = onnx.load(source)
    number, offset = 0, 0
    for tensor in _in_order_of_use(model.graph):
        if len(tensor.raw_data) < SMALLEST_TENSOR or uses_external_data(tensor):
            continue
        place = target.with_name(WEIGHTS.replace("*", f"{number:03}"))
        with place.open("ab" if offset else "wb") as stream:
            stream.write(tensor.raw_data)
        size = len(tensor.raw_data)
        set_external_data(tensor, place.name, offset, size)
        tensor.ClearField("raw_data")
        offset += size
        if offset >= largest_file:
            number, offset = number + 1, 0
    target.write_bytes(model.SerializeToString(deterministic=True))


def _in_order_of_use(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    left = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for name in node.input:
            if name in left:
                yield left.pop(name)
    yield from left.values()
