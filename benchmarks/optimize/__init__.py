"""What `model_build` makes of the project's models, beside onnxruntime fp32, torch eager and other optimizers."""
