"""Sources that are a graph and no model of torch: ONNX, and what becomes ONNX."""

from pathlib import Path

# Never imported here: it runs in TensorFlow's environment.
TENSORFLOW_PROGRAM = Path(__file__).with_name("tensorflow_program.py")
