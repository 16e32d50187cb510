"""Runs in TensorFlow's environment, a file by itself: `convert MODEL OUT OPSET` or `answer MODEL QUESTIONS OUT`."""

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

AT_ONCE = 256


def main(what: str, model: str, *arguments: str) -> int:
    """Convert or answer."""
    if what == "convert":
        _convert(Path(model), *arguments)
        return 0
    function, _ = _opened(Path(model))
    with np.load(arguments[0], allow_pickle=False) as questions:
        answers = {name: _answer(function, questions[name]) for name in questions.files}
    np.savez(arguments[1], **answers)
    return 0


def _convert(model: Path, out: str, opset: str) -> None:
    import tf2onnx  # noqa: PLC0415

    if model.is_dir():
        # Its own loader freezes the variables of a SavedModel; a function around one would leave them variables.
        sys.argv = ["tf2onnx.convert", "--saved-model", str(model), "--output", out, "--opset", opset]
        tf2onnx.convert.main()
        return
    function, signature = _opened(model)
    tf2onnx.convert.from_function(function, [signature], opset=int(opset), output_path=out)


def _opened(path: Path) -> tuple[Any, tf.TensorSpec]:
    """Return the model as one function of one tensor with a free batch; nothing in the file runs Python."""
    if path.is_dir():
        loaded = tf.saved_model.load(str(path))
        serving = loaded.signatures["serving_default"]
        ((name, signature),) = serving.structured_input_signature[1].items()

        function = tf.function(lambda given: next(iter(serving(**{name: given}).values())))
        function.loaded = loaded  # its variables live as long as it does
        return function, _free(signature)
    model = tf.keras.models.load_model(path, compile=False, safe_mode=True)
    (given,) = model.inputs
    return tf.function(lambda tensor: model(tensor, training=False)), tf.TensorSpec(given.shape, given.dtype, "input")


def _free(signature: tf.TensorSpec) -> tf.TensorSpec:
    return tf.TensorSpec(signature.shape, signature.dtype, "input")


def _answer(function: Any, inputs: Any) -> Any:
    parts = [function(tf.constant(inputs[at : at + AT_ONCE])).numpy() for at in range(0, len(inputs), AT_ONCE)]
    return np.concatenate(parts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
