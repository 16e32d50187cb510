"""Turns a recipe into a gated ONNX artifact and, with a registry, into an image by digest."""
