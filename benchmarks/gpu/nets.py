"""Two networks of well-known sizes with random weights from a seed, written as ONNX without torch.

`resnet50` is the network of He et al. (arXiv:1512.03385), batch norms folded into its convolutions as an export does;
`encoder` has the sizes of MiniLM-L6 (arXiv:2002.10957): 6 layers of 384, 12 heads, mean of the last layer's tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
SEED = 7
BLOCKS = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
PIXELS, CLASSES = 224, 1000
LAYERS, WIDTH, HEADS, WORDS, PLACES = 6, 384, 12, 30522, 512


@dataclass
class _Graph:
    """Nodes and weights as they come; each part returns the name of its output."""

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def normal(self, *shape: int, scale: float) -> str:
        return self.constant(self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale))

    def model(self, taken: onnx.ValueInfoProto, given: onnx.ValueInfoProto, last: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [last], [given.name], name="answer"))
        graph = helper.make_graph(self.nodes, "net", [taken], [given], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(model)
        return model


def resnet50() -> onnx.ModelProto:
    """Return a ResNet-50: `image` FP32 [batch, 3, 224, 224] to `scores` FP32 [batch, 1000]; 102 MB."""
    graph = _Graph()
    last = graph.node("Relu", _convolved(graph, "image", 3, 64, 7, stride=2))
    last = graph.node("MaxPool", last, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for count, inner, stride in BLOCKS:
        for at in range(count):
            last = _bottleneck(graph, last, width, inner, stride if at == 0 else 1)
            width = inner * 4
    last = graph.node("Flatten", graph.node("GlobalAveragePool", last))
    last = graph.node("Gemm", last, graph.normal(width, CLASSES, scale=width**-0.5), graph.normal(CLASSES, scale=0.1))
    taken = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, PIXELS, PIXELS])
    return graph.model(taken, helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES]), last)


def _convolved(
    graph: _Graph, last: str, before: int, after: int, size: int, *, stride: int = 1, gain: float = 2.0
) -> str:
    scale = (gain / (before * size * size)) ** 0.5
    weights = graph.normal(after, before, size, size, scale=scale), graph.normal(after, scale=0.01)
    pads = [size // 2] * 4
    return graph.node("Conv", last, *weights, kernel_shape=[size, size], strides=[stride, stride], pads=pads)


def _bottleneck(graph: _Graph, last: str, width: int, inner: int, stride: int) -> str:
    found = graph.node("Relu", _convolved(graph, last, width, inner, 1))
    found = graph.node("Relu", _convolved(graph, found, inner, inner, 3, stride=stride))
    # Small, as trained blocks are: sixteen of them must not let the sum grow without bound.
    found = _convolved(graph, found, inner, inner * 4, 1, gain=0.2)
    kept = last
    if width != inner * 4 or stride != 1:
        kept = _convolved(graph, last, width, inner * 4, 1, stride=stride, gain=1.0)
    return graph.node("Relu", graph.node("Add", found, kept))


def encoder() -> onnx.ModelProto:
    """Return an encoder: `tokens` INT64 [batch, tokens below 512] to `vector` FP32 [batch, 384]; 91 MB."""
    graph = _Graph()
    length = graph.node("Shape", "tokens", start=1, end=2)
    zero, one = graph.constant(np.array([0], np.int64)), graph.constant(np.array([1], np.int64))
    places = graph.node("Slice", graph.normal(PLACES, WIDTH, scale=0.02), zero, length, zero, one)
    words = graph.node("Gather", graph.normal(WORDS, WIDTH, scale=1.0), "tokens")
    last = _normed(graph, graph.node("Add", words, places))
    for _ in range(LAYERS):
        last = _normed(graph, graph.node("Add", last, _attended(graph, last)))
        wide = graph.node("Gelu", _linear(graph, last, WIDTH, WIDTH * 4))
        last = _normed(graph, graph.node("Add", last, _linear(graph, wide, WIDTH * 4, WIDTH)))
    last = graph.node("ReduceMean", last, one, keepdims=0)
    taken = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "length"])
    return graph.model(taken, helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", WIDTH]), last)


def _linear(graph: _Graph, last: str, before: int, after: int) -> str:
    product = graph.node("MatMul", last, graph.normal(before, after, scale=before**-0.5))
    return graph.node("Add", product, graph.normal(after, scale=0.01))


def _normed(graph: _Graph, last: str) -> str:
    gain, bias = graph.constant(np.ones(WIDTH, np.float32)), graph.constant(np.zeros(WIDTH, np.float32))
    return graph.node("LayerNormalization", last, gain, bias, axis=-1, epsilon=1e-5)


def _attended(graph: _Graph, last: str) -> str:
    split = graph.constant(np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
    query, key, value = (
        graph.node("Transpose", graph.node("Reshape", _linear(graph, last, WIDTH, WIDTH), split), perm=perm)
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scaled = graph.node(
        "Mul", graph.node("MatMul", query, key), graph.constant(np.float32((WIDTH // HEADS) ** -0.5).reshape(1))
    )
    mixed = graph.node("MatMul", graph.node("Softmax", scaled, axis=-1), value)
    joined = graph.constant(np.array([0, 0, WIDTH], np.int64))
    back = graph.node("Reshape", graph.node("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
    return _linear(graph, back, WIDTH, WIDTH)
