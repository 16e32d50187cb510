"""An exported fp32 model in half precision."""

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel


def halved(exported: Path) -> onnx.ModelProto:
    """Return the model with float16 inside; inputs and outputs stay fp32, so that what calls it need not know."""
    model = OnnxModel(convert_float_to_float16(onnx.load(exported), keep_io_types=True))
    model.topological_sort()  # the converter puts its casts at the end
    return model.model
