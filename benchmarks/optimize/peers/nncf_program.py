"""NNCF: post-training quantization of an ONNX model, as its documentation tells users to call it."""

import sys

import nncf
import numpy as np
import onnx


def main(model: str, calibration: str, out: str, kind: str) -> None:
    """Quantize `model` and write it to `out`."""
    inputs = np.load(calibration)["inputs"]
    opened = onnx.load(model)
    name = opened.graph.input[0].name
    dataset = nncf.Dataset([inputs[at : at + 1] for at in range(len(inputs))], lambda sample: {name: sample})
    model_type = nncf.ModelType.TRANSFORMER if kind == "transformer" else None
    quantized = nncf.quantize(
        opened, dataset, subset_size=len(inputs), target_device=nncf.TargetDevice.CPU, model_type=model_type
    )
    onnx.save(quantized, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
