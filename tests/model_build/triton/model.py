"""A backend of Triton named onnxruntime, in Python: what a request brings goes through onnxruntime, nothing else."""

import json
import os
import sys
from typing import Any

# Triton starts it without the environment that the tests run in.
sys.path[:0] = os.environ["MODELSTACK_TEST_PATH"].split(os.pathsep)

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import triton_python_backend_utils as backend  # noqa: E402


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file that Triton's own backend would."""
        file = os.path.join(args["model_repository"], args["model_version"], "model.onnx")  # noqa: PTH118
        self._session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
        config = json.loads(args["model_config"])
        self._inputs, self._outputs = ([one["name"] for one in config[part]] for part in ("input", "output"))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return [self._answered(one) for one in requests]

    def _answered(self, request: Any) -> Any:
        # Its arrays are of an older numpy; what both call a tensor they share.
        fed = {name: np.from_dlpack(backend.get_input_tensor_by_name(request, name)) for name in self._inputs}
        arrays = self._session.run(self._outputs, fed)
        tensors = [backend.Tensor.from_dlpack(*one) for one in zip(self._outputs, arrays, strict=True)]
        return backend.InferenceResponse(tensors)
