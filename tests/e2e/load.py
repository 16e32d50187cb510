"""Requests to a model of the digits kind through a stack's endpoint, on a schedule."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager

from tests import load
from tests.load import Load

RATE = 40.0
INFER = "/v2/models/digits/infer"
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
BODY = json.dumps({"inputs": [TENSOR]}).encode()


def steady_load(url: str, model: str = "digits", rate: float = RATE) -> AbstractContextManager[Load]:
    """Ask a model, so often a second, for the length of a block."""
    return load.steady_load(f"{url}/v2/models/{model}/infer", BODY, rate)
