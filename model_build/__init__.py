"""Turns a recipe into a gated ONNX artifact and, with a registry, into an image by digest."""

import os

# onnxruntime tells its makers of each start unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
