"""Keeps the few channels that are far larger than the rest out of int8 (LLM.int8(), Dettmers et al., arXiv:2208.07339).

One range is told for a whole activation: a channel that reaches 28 where the others stay below 5 leaves these a few
steps. x @ W becomes int8(x without those channels) @ int8(W) + those channels of x @ those rows of W, in fp32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from model_build import data
from model_build.artifact import INPUT
from model_build.optimize.int8 import BATCH

FAR = 6.0  # times the median channel's largest value
KEPT = "_in_fp32"


def split(model: Path, calibration: data.Inputs, count: int) -> list[str]:
    """Rewrite the products at `model` so that up to `count` channels of each input stay in fp32.

    Returns the nodes that must not be quantized. What has no channel that stands out stays as it is.
    """
    opened = onnx.load(model)
    held = {one.name: one for one in opened.graph.initializer}
    products = [
        node
        for node in opened.graph.node
        if node.op_type == "MatMul" and node.input[1] in held and len(held[node.input[1]].dims) == 2
    ]
    largest = _largest(opened, list(dict.fromkeys(node.input[0] for node in products)), calibration)
    chosen = {name: found for name, one in largest.items() if len(found := _outliers(one, count))}
    nodes: list[onnx.NodeProto] = []
    parted: set[str] = set()
    for node in opened.graph.node:
        if node not in products or node.input[0] not in chosen:
            nodes.append(node)
            continue
        name = node.input[0]
        if name not in parted:
            nodes += _part(opened.graph, name, chosen[name], len(largest[name]))
            parted.add(name)
        nodes += _product(opened.graph, node, held[node.input[1]], chosen[name])
    del opened.graph.node[:]
    opened.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    used = [one for one in opened.graph.initializer if one.name in read]
    del opened.graph.initializer[:]
    opened.graph.initializer.extend(used)
    onnx.save(opened, model)
    return [node.name for node in nodes if node.name.endswith(KEPT)]


def _largest(model: onnx.ModelProto, names: list[str], calibration: data.Inputs) -> dict[str, NDArray[np.float32]]:
    """Return the largest magnitude of each channel of each tensor."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # so that sums come out the same each time
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, NDArray[np.float32]] = {}
    for at in range(0, len(calibration), BATCH):
        for name, values in zip(names, session.run(names, {INPUT: calibration[at : at + BATCH]}), strict=True):
            seen = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            found[name] = np.maximum(found[name], seen) if name in found else seen
    return found


def _outliers(largest: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the `count` largest channels where one of them stands out, else none."""
    if largest.max() <= FAR * float(np.median(largest)):
        return np.zeros(0, np.int64)
    return np.sort(np.argsort(largest)[-count:])


def _part(graph: onnx.GraphProto, name: str, channels: NDArray[np.int64], width: int) -> list[onnx.NodeProto]:
    rest = np.ones(width, np.float32)
    rest[channels] = 0
    graph.initializer.extend(
        [numpy_helper.from_array(rest, f"{name}_rest_mask"), numpy_helper.from_array(channels, f"{name}_outliers")]
    )
    return [
        helper.make_node("Mul", [name, f"{name}_rest_mask"], [f"{name}_rest"], name=f"{name}_rest"),
        helper.make_node("Gather", [name, f"{name}_outliers"], [f"{name}_far"], axis=-1, name=f"{name}_far{KEPT}"),
    ]


def _product(
    graph: onnx.GraphProto, node: onnx.NodeProto, weights: onnx.TensorProto, channels: NDArray[np.int64]
) -> list[onnx.NodeProto]:
    # Other nodes may read the same weights, so that they stay as they are.
    name, made, values = node.input[0], node.output[0], numpy_helper.to_array(weights).copy()
    rows, rest = f"{node.name}_far_weights", f"{node.name}_rest_weights"
    graph.initializer.append(numpy_helper.from_array(values[channels], rows))
    values[channels] = 0
    graph.initializer.append(numpy_helper.from_array(values, rest))
    node.input[0], node.input[1], node.output[0] = f"{name}_rest", rest, f"{made}_rest"
    far = helper.make_node("MatMul", [f"{name}_far", rows], [f"{made}_far"], name=f"{node.name}_far{KEPT}")
    return [node, far, helper.make_node("Add", [node.output[0], f"{made}_far"], [made], name=f"{node.name}_sum")]
