"""ONNX files with the same bytes in every folder: no stack traces, no paths, no clock."""

from collections.abc import Iterator
from pathlib import Path

import onnx


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check `model`, take out what names the machine that made it, and write it."""
    for proto in _with_metadata(model.graph):
        del proto.metadata_props[:]
        proto.doc_string = ""
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _with_metadata(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto | onnx.NodeProto | onnx.ValueInfoProto]:
    yield graph
    yield from graph.input
    yield from graph.output
    yield from graph.value_info
    yield from graph.initializer
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _with_metadata(attribute.g)
            for inner in attribute.graphs:
                yield from _with_metadata(inner)
