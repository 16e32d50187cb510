"""Sources that are a graph and no model of torch: ONNX, and what becomes ONNX."""
