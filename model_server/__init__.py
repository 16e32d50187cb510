"""What runs in the image: Open Inference Protocol v2 over HTTP, in front of onnxruntime."""

import os

# onnxruntime tells its makers of each start unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

VERSION = "0.1.0"
