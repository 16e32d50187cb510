"""Other optimizers, each a program of its own in an environment of its own.

A program takes an fp32 ONNX file, calibration samples (.npz, `inputs`), the path to write, and `cnn` or `transformer`.
"""
