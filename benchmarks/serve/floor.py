"""`python -m benchmarks.serve.floor MODEL SAMPLES SECONDS [DEVICE THREADS]`: a loop over the session alone.

Runs in the image's environment, on the CPU and one thread; prints calls a second of one sample, and samples a second
at 64.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime

from model_server.runtime import OPTIONS, PROVIDERS

BATCH = 64


def main(model: str, samples: str, seconds: str, device: str = "cpu", threads: str = "1") -> int:
    """Measure and print a line of JSON; returns 0."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    if device == "cuda":
        onnxruntime.preload_dlls(directory="")
    session = onnxruntime.InferenceSession(
        model, options, providers=PROVIDERS[device], provider_options=OPTIONS[device]
    )
    digits = np.load(samples)
    one, many = digits[:1], np.resize(digits, (BATCH, *digits.shape[1:]))
    told = {"one": _rate(session, one, float(seconds)), "many": _rate(session, many, float(seconds)) * BATCH}
    print(json.dumps(told))
    return 0


def _rate(session: Any, batch: Any, seconds: float) -> float:
    """Return calls a second."""
    name = session.get_inputs()[0].name
    session.run(None, {name: batch})
    began = now = time.perf_counter()
    calls = 0
    while now - began < seconds:
        session.run(None, {name: batch})
        calls += 1
        now = time.perf_counter()
    return calls / (now - began)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
