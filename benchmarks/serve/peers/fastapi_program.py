"""FastAPI on uvicorn, as it is written by hand: a pydantic body and a call of the session."""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Digit(BaseModel):
    """64 pixels from 0 to 1."""

    pixels: list[float]


class Scores(BaseModel):
    """A score for each of the ten digits."""

    scores: list[float]


def application(model: str) -> FastAPI:
    """Return the application that answers `POST /predict`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    app = FastAPI()

    # On the event loop: a thread for 40 microseconds of work costs more than it saves.
    @app.post("/predict")  # type: ignore[untyped-decorator] # the library lies in another environment
    async def predict(digit: Digit) -> Scores:
        pixels = np.array(digit.pixels, np.float32).reshape(1, 1, 8, 8)
        return Scores(scores=session.run(None, {name: pixels})[0][0].tolist())

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
