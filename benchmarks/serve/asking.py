"""How servers are asked for the class of a digit, and how their answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Digits = NDArray[np.float32]
Scores = NDArray[np.float32]
Headers = Mapping[str, str]
JSON, BYTES = "application/json", "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/digits/infer"


@dataclass(frozen=True)
class Question:
    """One request's body and headers."""

    body: bytes
    headers: Headers = field(default_factory=lambda: {"Content-Type": JSON})

    def raw(self, host: str, path: str) -> bytes:
        """Return the request as it goes over the wire."""
        headers = {"Host": host, "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Way:
    """A path, how a digit [1, 1, 8, 8] is written for it, and how the ten scores are read from what it answers."""

    path: str
    write: Callable[[Digits], Question]
    read: Callable[[bytes, Headers], Any]

    def scores(self, body: bytes, headers: Headers) -> Scores:
        """Return the scores in an answer."""
        return np.asarray(self.read(body, headers), np.float32).reshape(-1)


def _infer(digit: Digits) -> Question:
    tensor = {"name": "input", "datatype": "FP32", "shape": list(digit.shape), "data": digit.reshape(-1).tolist()}
    return Question(json.dumps({"inputs": [tensor]}).encode())


def _infer_bytes(digit: Digits) -> Question:
    raw = digit.astype("<f4").tobytes()
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "input", "datatype": "FP32", "shape": list(digit.shape), "parameters": size}
    header = json.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor]}).encode()
    return Question(header + raw, {"Content-Type": BYTES, HEADER_LENGTH: str(len(header))})


def _infer_the_long_way(digit: Digits) -> Question:
    """Name an encoding that changes nothing: such requests go to the application, like everything unusual."""
    asked = _infer(digit)
    return Question(asked.body, {**asked.headers, "Content-Encoding": "identity"})


def _pixels(digit: Digits) -> Question:
    return Question(json.dumps({"pixels": digit.reshape(-1).tolist()}).encode())


def _nested(digit: Digits) -> Question:
    return Question(json.dumps({"pixels": digit.tolist()}).encode())


def _data(body: bytes, _: Headers) -> Any:
    return json.loads(body)["outputs"][0]["data"]


def _bytes(body: bytes, headers: Headers) -> Any:
    return np.frombuffer(body[int(headers[HEADER_LENGTH.lower()]) :], "<f4")


V2 = Way(INFER, _infer, _data)
V2_BYTES = Way(INFER, _infer_bytes, _bytes)
V2_LONG = Way(INFER, _infer_the_long_way, _data)
PIXELS = Way("/predict", _pixels, lambda body, _: json.loads(body)["scores"])
NESTED = Way("/predict", _nested, lambda body, _: json.loads(body))
