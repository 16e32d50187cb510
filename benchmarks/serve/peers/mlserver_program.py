"""MLServer: a custom runtime, started by `mlserver start`."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class Digits(MLModel):  # type: ignore[misc] # the library has no types
    """Answers `POST /v2/models/digits/infer`."""

    async def load(self) -> bool:
        """Open the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = await get_model_uri(self.settings)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the scores."""
        pixels = NumpyCodec.decode_input(payload.inputs[0])
        scores = self.session.run(None, {self.input: pixels})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])
