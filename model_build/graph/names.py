"""The names that a graph's input and output bear from here on, whatever they were called where it comes from."""

from collections.abc import Mapping

import onnx

from model_build.artifact import INPUT


def ends(graph: onnx.GraphProto) -> tuple[list[str], list[str]]:
    """Return the names of the inputs that are no weights, and of the outputs."""
    held = {one.name for one in graph.initializer}
    return [one.name for one in graph.input if one.name not in held], [one.name for one in graph.output]


def give(graph: onnx.GraphProto, output: str) -> None:
    """Rename the one input and the one output; other tensors that bear these names make way."""
    (given,), (answered,) = ends(graph)
    names = {given: INPUT, answered: output}
    others = {name: f"{name}_of_source" for name in names.values() if name not in names}
    _rename(graph, {**others, **names})


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever the graph names them, subgraphs of its nodes included."""
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = names.get(named.name, named.name)
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)
