"""Olive: a workflow of one quantization pass on an ONNX model; static for convolutions, dynamic for text."""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from olive.data.registry import Registry
from olive.workflows import run


class Samples:
    """Calibration samples, one at a time, beside a label that nothing reads."""

    def __init__(self, path: str) -> None:
        self._inputs = np.load(path)["inputs"]

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, at: int) -> tuple[dict[str, np.ndarray], int]:
        return {"input": self._inputs[at]}, 0


@Registry.register_dataset()  # type: ignore[untyped-decorator] # the library has no types
def calibration_samples(data_dir: str, **_: object) -> Samples:
    """Return the samples that the workflow names."""
    return Samples(data_dir)


def main(model: str, calibration: str, out: str, kind: str) -> None:
    """Quantize `model` and write it to `out`."""
    quantization = {"type": "OnnxDynamicQuantization"}
    if kind == "cnn":
        quantization = {"type": "OnnxStaticQuantization", "data_config": "samples"}
    with tempfile.TemporaryDirectory() as folder:
        run(
            {
                "input_model": {"type": "ONNXModel", "model_path": model},
                "data_configs": [
                    {
                        "name": "samples",
                        "type": "DataContainer",
                        "load_dataset_config": {"type": "calibration_samples", "data_dir": calibration},
                        "dataloader_config": {"batch_size": 1},
                    }
                ],
                "passes": {"quantization": quantization},
                "output_dir": folder,
                "cache_dir": f"{folder}/cache",
            }
        )
        made = next(iter([*Path(folder).glob("*.onnx"), *Path(folder).rglob("model.onnx")]))
        shutil.copyfile(made, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
