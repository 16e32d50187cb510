"""Runs in TensorFlow's environment, a file by itself.

`convert MODEL OUT OPSET`, `save MODEL OUT` or `answer MODEL QUESTIONS OUT`.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

AT_ONCE = 256


def main(what: str, model: str, *arguments: str) -> int:
    """Convert, save or answer."""
    if what == "convert":
        _convert(Path(model), *arguments)
        return 0
    if what == "save":
        _save(Path(model), *arguments)
        return 0
    function = _function(Path(model))
    with np.load(arguments[0], allow_pickle=False) as questions:
        answers = {name: _answer(function, questions[name]) for name in questions.files}
    np.savez(arguments[1], **answers)
    return 0


def _convert(path: Path, out: str, opset: str) -> None:
    import tf2onnx  # noqa: PLC0415

    if path.is_dir():
        # Its own loader freezes the variables of a SavedModel; a function around one would leave them variables.
        sys.argv = ["tf2onnx.convert", "--saved-model", str(path), "--output", out, "--opset", opset]
        tf2onnx.convert.main()
        return
    model = _keras(path)
    (given,) = model.inputs
    signature = [tf.TensorSpec(given.shape, given.dtype, "input")]
    tf2onnx.convert.from_function(tf.function(_inferring(model)), signature, opset=int(opset), output_path=out)


def _save(path: Path, out: str) -> None:
    if path.is_dir():
        shutil.copytree(path, out)
        return
    _keras(path).export(out, verbose=False)
    # A random number, which nothing that serves reads.
    Path(out, "fingerprint.pb").unlink(missing_ok=True)


def _function(path: Path) -> Any:
    """Return the model as a function of one batch."""
    if not path.is_dir():
        return _inferring(_keras(path))
    loaded = tf.saved_model.load(str(path))
    serving = loaded.signatures["serving_default"]
    ((name, _),) = serving.structured_input_signature[1].items()
    # `loaded` is held, since its variables live as long as it does.
    return lambda given, _=loaded: next(iter(serving(**{name: given}).values()))


def _keras(path: Path) -> Any:
    # No Python that the file may hold is run.
    return tf.keras.models.load_model(path, compile=False, safe_mode=True)


def _inferring(model: Any) -> Any:
    return lambda given: model(given, training=False)


def _answer(function: Any, inputs: Any) -> Any:
    parts = [function(tf.constant(inputs[at : at + AT_ONCE])).numpy() for at in range(0, len(inputs), AT_ONCE)]
    return np.concatenate(parts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
