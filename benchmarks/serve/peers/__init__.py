"""Other ways to serve an ONNX model, each a small program of its own in an environment of its own.

All of them keep one session of onnxruntime on one thread, in one worker process.
"""
