"""What each node costs when it alone is int8, and which to leave in fp32 for the sake of accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from model_build import data
from model_build.measure import Artifact
from model_build.optimize import int8
from model_build.rounding import relative_error
from model_build.tasks import TASKS

SAMPLES = 64


@dataclass(frozen=True)
class Cost:
    """One node: the mean squared change of the answers over their variance, and its weights' own rounding error."""

    node: str
    kind: str
    distance: float
    weight_error: float | None


def costs(
    model: Path, calibration: data.Inputs, params: Mapping[str, Any], progress: Callable[[float, str], None]
) -> list[Cost]:
    """Return each node's cost, the largest first; answers are of training samples alone."""
    samples = np.ascontiguousarray(calibration[:SAMPLES])
    wanted = Artifact(model).answer(samples)
    scale = float(np.var(wanted)) or 1.0
    graph = onnx.load(model).graph
    held = {one.name: one for one in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in int8.QUANTIZED]
    found = []
    for index, node in enumerate(nodes):
        progress(index / len(nodes), f"{node.name} alone in int8")
        answers = loaded(int8.static(model, samples, params, only=[node.name])).answer(samples)
        distance = float(np.mean((answers - wanted) ** 2)) / scale
        found.append(Cost(node.name, node.op_type, distance, _weight_error(node, held, params)))
    return sorted(found, key=lambda one: (-one.distance, one.node))


def without_the_costliest(
    model: Path,
    calibration: data.Inputs,
    validation: data.Split,
    order: list[Cost],
    params: Mapping[str, Any],
) -> tuple[onnx.ModelProto, list[str], float]:
    """Leave one node after the other out of int8 until validation drops by no more than the recipe allows.

    Returns the model, the nodes left in fp32 and the drop, which is too large where the nodes ran out.
    """
    limit = params["keep_fp32"]
    task = TASKS[params["task"]]
    source = Artifact(model).answer_all(validation.inputs)
    best = task.figures(source, validation, source)[task.figure]
    kept: list[str] = []
    while True:
        made = int8.static(model, calibration, params, without=kept or None)
        drop = best - task.figures(loaded(made).answer_all(validation.inputs), validation, source)[task.figure]
        if drop <= limit["max_drop"] or len(kept) == min(limit["max_nodes"], len(order)):
            return made, kept, drop
        kept = [one.node for one in order[: len(kept) + 1]]


def loaded(model: onnx.ModelProto) -> Artifact:
    """Return the model in onnxruntime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return Artifact(path)


def _weight_error(
    node: onnx.NodeProto, held: Mapping[str, onnx.TensorProto], params: Mapping[str, Any]
) -> float | None:
    """Return how far rounding moves the node's weights; None where it multiplies two activations."""
    if node.input[1] not in held:
        return None
    weights = numpy_helper.to_array(held[node.input[1]])
    bits = 7 if int8.PRESETS[params["instructions"]].reduce_range else 8
    axis = int8.channel_axis(node, weights.ndim) if params["per_channel"] else None
    return relative_error(weights, bits, axis)
