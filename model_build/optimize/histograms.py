"""What calibration saw: a histogram of every tensor that static int8 quantizes, and the range that it covers."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from model_build import data
from model_build.artifact import INPUT
from model_build.optimize.int8 import BATCH

BINS = 40


def of(model: Path, quantized: onnx.ModelProto, calibration: data.Inputs) -> list[dict[str, Any]]:
    """Return tensor, edges, counts and range for each activation that `quantized` quantizes, in the model's order."""
    ranges = _ranges(quantized)
    seen = _values(model, sorted(ranges), calibration)
    told = []
    for name, values in seen.items():
        counts, edges = np.histogram(values, bins=BINS)
        rounded = [round(float(one), 6) for one in edges]
        told.append({"tensor": name, "edges": rounded, "counts": counts.tolist(), "range": ranges[name]})
    return told


def _ranges(quantized: onnx.ModelProto) -> dict[str, list[float]]:
    """Return tensor → the lowest and highest value that its QuantizeLinear node can store."""
    held = {one.name: numpy_helper.to_array(one) for one in quantized.graph.initializer}
    found = {}
    for node in quantized.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[1] not in held or node.input[0] in held:
            continue
        scale, zero = held[node.input[1]], held[node.input[2]]
        if scale.size == 1:
            limits = np.iinfo(zero.dtype)
            ends = ((end - int(zero.item())) * float(scale.item()) for end in (limits.min, limits.max))
            found[node.input[0]] = [round(end, 6) for end in ends]
    return found


def _values(model: Path, names: list[str], calibration: data.Inputs) -> dict[str, data.Inputs]:
    """Return tensor → everything it held while the model answered the calibration samples."""
    opened = onnx.load(model)
    made = {name for node in opened.graph.node for name in node.output}
    inner = [name for name in names if name in made]
    known = {one.name for one in opened.graph.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in known)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        onnx.save(opened, path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # so that sums come out the same each time
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        parts = [session.run(inner, {INPUT: calibration[at : at + BATCH]}) for at in range(0, len(calibration), BATCH)]
    found = {INPUT: calibration.ravel()} if INPUT in names else {}
    return found | {name: np.concatenate([part[at].ravel() for part in parts]) for at, name in enumerate(inner)}
