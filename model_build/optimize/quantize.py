"""fp32 ONNX → static int8 as QDQ nodes, calibrated on training data alone."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from model_build import data
from model_build.artifact import INPUT, MODEL
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import clean

BATCH = 32


class _Calibration(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
    """Gives the quantizer training samples in batches."""

    def __init__(self, inputs: data.Floats, count: int, seed: int) -> None:
        chosen = np.random.default_rng(seed).permutation(len(inputs))[:count]
        self._parts = iter(np.array_split(inputs[np.sort(chosen)], max(1, -(-len(chosen) // BATCH))))

    def get_next(self) -> dict[str, data.Floats] | None:
        """Return the next batch, None at the end."""
        part = next(self._parts, None)
        return None if part is None else {INPUT: part}


def run(job: Job) -> dict[str, Any]:
    """Quantize the exported model; raises RecipeError where calibration asks for more than there is."""
    params = job.params
    inputs = data.read(job.inputs["data"], "train").inputs
    if params["calibration_samples"] > len(inputs):
        raise RecipeError(
            f"steps.quantize.calibration_samples: {params['calibration_samples']} is above the limit of {len(inputs)} "
            "training samples; lower it"
        )
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / MODEL
        quant_pre_process(str(job.inputs["export"] / MODEL), str(prepared), skip_symbolic_shape=True)
        job.progress(0.3, "calibrating")
        quantize_static(
            str(prepared),
            str(made),
            _Calibration(inputs, params["calibration_samples"], params["seed"]),
            quant_format=QuantFormat.QDQ,
            per_channel=params["per_channel"],
            reduce_range=params["reduce_range"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        clean.save(onnx.load(made), job.out / MODEL)
    return {"size": (job.out / MODEL).stat().st_size}
