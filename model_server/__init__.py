"""What runs in the image: Open Inference Protocol v2 over HTTP, in front of onnxruntime."""

VERSION = "0.1.0"
