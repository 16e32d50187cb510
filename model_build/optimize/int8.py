"""fp32 ONNX → int8, by onnxruntime's quantizer: static as QDQ nodes, or dynamic."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from model_build import data
from model_build.artifact import INPUT, MODEL

BATCH = 32
CALIBRATIONS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
QUANTIZED = ("Conv", "MatMul", "Gemm")


@dataclass(frozen=True)
class Types:
    """Which integers an instruction set multiplies well, and whether weights keep to 7 bits."""

    activation: QuantType
    weight: QuantType
    reduce_range: bool


# Without VNNI two products of 8 bits are summed in 16, which saturates; 7-bit weights cannot.
PRESETS = {
    "avx2": Types(QuantType.QUInt8, QuantType.QInt8, reduce_range=True),
    "avx512-vnni": Types(QuantType.QUInt8, QuantType.QInt8, reduce_range=False),
    "arm64": Types(QuantType.QInt8, QuantType.QInt8, reduce_range=False),
}


class Calibration(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
    """Gives the quantizer training samples in batches."""

    def __init__(self, inputs: data.Inputs) -> None:
        self._parts = iter(np.array_split(inputs, max(1, -(-len(inputs) // BATCH))))

    def get_next(self) -> dict[str, data.Inputs] | None:
        """Return the next batch, None at the end."""
        part = next(self._parts, None)
        return None if part is None else {INPUT: part}


def chosen(inputs: data.Inputs, count: int, seed: int) -> data.Inputs:
    """Return `count` samples that the seed picks, in the order they lie in."""
    picked = np.random.default_rng(seed).permutation(len(inputs))[:count]
    return inputs[np.sort(picked)]


def prepared(exported: Path, folder: Path) -> Path:
    """Write the model as the quantizer wants it, every node named, and return its path."""
    path = folder / "prepared.onnx"
    quant_pre_process(str(exported), str(path), skip_symbolic_shape=True)
    model = onnx.load(path)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{index}"
    onnx.save(model, path)
    return path


def channel_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """Return the axis of a node's weights that its output channels lie on."""
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else dimensions - 1


def static(
    model: Path,
    calibration: data.Inputs,
    params: Mapping[str, Any],
    *,
    only: list[str] | None = None,
    without: list[str] | None = None,
) -> onnx.ModelProto:
    """Return the model with static int8, on the nodes `only` or on all `without` some."""
    types = PRESETS[params["instructions"]]
    return _made(
        lambda made: quantize_static(
            str(model),
            made,
            Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=params["per_channel"],
            reduce_range=types.reduce_range,
            activation_type=types.activation,
            weight_type=types.weight,
            nodes_to_quantize=only,
            nodes_to_exclude=without,
            calibrate_method=CALIBRATIONS[params["calibration"]],
            extra_options={"CalibPercentile": params["percentile"]},
        )
    )


def dynamic(model: Path, params: Mapping[str, Any], without: list[str] | None = None) -> onnx.ModelProto:
    """Return the model with int8 weights but for nodes `without`; activations are quantized as they come."""
    types = PRESETS[params["instructions"]]

    def quantize(made: str) -> None:
        # A table of embeddings is looked up and never multiplied: 8 bits of it cannot saturate.
        tables = f"{made}.tables"
        quantize_dynamic(str(model), tables, op_types_to_quantize=["Gather"], nodes_to_exclude=without)
        quantize_dynamic(
            tables,
            made,
            nodes_to_exclude=without,
            per_channel=params["per_channel"],
            reduce_range=types.reduce_range,
            weight_type=types.weight,
        )

    return _made(quantize)


def _made(quantize: Callable[[str], None]) -> onnx.ModelProto:
    """Return what a quantizer of onnxruntime writes to the path it is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / MODEL)
        quantize(path)
        return onnx.load(path)
