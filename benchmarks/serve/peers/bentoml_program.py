"""BentoML: a service with adaptive batching, started by `bentoml serve bentoml_program:Digits`."""

import os

import bentoml
import numpy as np
import onnxruntime
from numpy.typing import NDArray

BATCH = 64


@bentoml.service(workers=1)
class Digits:
    """Answers `POST /predict`."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = os.environ["DIGITS_MODEL"]
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    @bentoml.api(batchable=True, max_batch_size=BATCH)  # type: ignore[untyped-decorator] # the library has no types
    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of a batch."""
        scores: NDArray[np.float32] = self.session.run(None, {self.input: pixels.astype(np.float32)})[0]
        return scores
