"""`python -m benchmarks.serve.floor MODEL SAMPLES SECONDS`: a loop over the session, what no server can beat.

Runs in the image's environment, on one thread; prints calls a second of one sample, and samples a second at 64.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime

BATCH = 64


def main(model: str, samples: str, seconds: str) -> int:
    """Measure and print a line of JSON; returns 0."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    digits = np.load(samples)
    one, many = digits[:1], np.resize(digits, (BATCH, *digits.shape[1:]))
    told = {"one": _rate(session, one, float(seconds)), "many": _rate(session, many, float(seconds)) * BATCH}
    print(json.dumps(told))
    return 0


def _rate(session: Any, batch: Any, seconds: float) -> float:
    """Return calls a second."""
    name = session.get_inputs()[0].name
    began = now = time.perf_counter()
    calls = 0
    while now - began < seconds:
        session.run(None, {name: batch})
        calls += 1
        now = time.perf_counter()
    return calls / (now - began)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
