"""KServe's Python SDK: a custom model in a ModelServer."""

import sys

import kserve
import onnxruntime
from kserve.utils.utils import get_predict_response


class Digits(kserve.Model):  # type: ignore[misc] # the library has no types
    """Answers `POST /v2/models/digits/infer`."""

    def __init__(self, model: str) -> None:
        super().__init__("digits")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.ready = True

    async def predict(
        self,
        payload: kserve.InferRequest,
        headers: dict[str, str] | None = None,  # noqa: ARG002 - KServe's signature
        response_headers: dict[str, str] | None = None,  # noqa: ARG002
    ) -> kserve.InferResponse:
        """Return the scores."""
        scores = self.session.run(None, {self.input: payload.inputs[0].as_numpy()})[0]
        return get_predict_response(payload, scores, self.name)


def main(model: str, port: str) -> None:
    """Serve."""
    server = kserve.ModelServer(
        http_port=int(port), enable_grpc=False, workers=1, enable_latency_logging=False, registered_models=None
    )
    server.start([Digits(model)])


if __name__ == "__main__":
    main(*sys.argv[1:])
