"""LitServe: a LitAPI whose requests run in batches of up to 64."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime

BATCH = 64


class Digits(litserve.LitAPI):  # type: ignore[misc] # the library has no types
    """Answers `POST /predict`."""

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(**options)
        self.model = model

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Open the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Return one digit."""
        return np.array(request["pixels"], np.float32).reshape(1, 8, 8)

    def batch(self, inputs: list[Any]) -> Any:
        """Return digits as one array."""
        return np.stack(inputs)

    def predict(self, batch: Any) -> Any:
        """Return the scores of a batch."""
        return self.session.run(None, {self.input: batch})[0]

    def unbatch(self, output: Any) -> list[Any]:
        """Return scores by request."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Return one answer."""
        return {"scores": output.tolist()}


def main(model: str, port: str) -> None:
    """Serve."""
    # No waiting for a fuller batch: what has arrived runs, which is quickest for a model this small.
    api = Digits(model, max_batch_size=BATCH, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
