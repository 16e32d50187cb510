"""From the JSON of a request to that of its answer."""

import os

import numpy as np
import onnxruntime
import orjson


class Digits:
    """The session, on one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = os.environ["DIGITS_MODEL"]
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def answer(self, body: bytes) -> bytes:
        """Return the answer to an inference request in JSON."""
        tensor = orjson.loads(body)["inputs"][0]
        array = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        scores = self._session.run(None, {self._input: array})[0]
        output = {"name": "scores", "datatype": "FP32", "shape": scores.shape, "data": scores.reshape(-1)}
        return orjson.dumps({"model_name": "digits", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)
