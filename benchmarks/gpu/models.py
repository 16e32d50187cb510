"""Model folders of the networks, with the CPU's own answers, and how a server is asked for them as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from benchmarks.gpu import nets
from benchmarks.serve.asking import BYTES, HEADER_LENGTH, Headers, Question, Way
from model_build.optimize.float16 import halved
from model_server.contract import ModelContract, TensorSpec

Array = NDArray[Any]
NETS = ("encoder", "resnet50")
HALF = "-float16"
SAMPLES, TOKENS, SEED = 8, 128, 11


def write(root: Path, name: str) -> tuple[Path, Path]:
    """Write a network and its float16 variant below `root`; returns both folders."""
    make: dict[str, Callable[[], onnx.ModelProto]] = {"encoder": nets.encoder, "resnet50": nets.resnet50}
    full, half = root / name, root / f"{name}{HALF}"
    _write(full, make[name](), samples(name))
    _write(half, halved(full / "model.onnx"), samples(name))
    return full, half


def samples(name: str, count: int = SAMPLES, seed: int = SEED) -> Array:
    """Return inputs that differ enough for their answers to be told apart."""
    random = np.random.default_rng(seed)
    if name == "encoder":
        return random.integers(0, nets.WORDS, (count, TOKENS))
    # Coarse patches: averaged over a picture of pure noise, every answer would be the same.
    patches = random.standard_normal((count, 3, 4, 4), dtype=np.float32) * np.float32(2)
    return np.kron(patches, np.ones((nets.PIXELS // 4, nets.PIXELS // 4), np.float32))


def _write(folder: Path, model: onnx.ModelProto, inputs: Array) -> None:
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    taken, given = session.get_inputs()[0], session.get_outputs()[0]
    np.savez(folder / "golden.npz", inputs=inputs, outputs=session.run(None, {taken.name: inputs})[0])
    document = {
        "name": folder.name,
        "version": "1",
        "platform": "onnxruntime_onnx",
        "file": "model.onnx",
        "inputs": [_spec(taken, "INT64" if inputs.dtype == np.int64 else "FP32")],
        "outputs": [_spec(given, "FP32")],
    }
    (folder / "model.json").write_text(json.dumps(document))


def _spec(found: Any, datatype: str) -> dict[str, object]:
    shape = [one if isinstance(one, int) else -1 for one in found.shape]
    return {"name": found.name, "datatype": datatype, "shape": shape}


def way(contract: ModelContract) -> Way:
    """Return how one sample goes to a model of one input, and comes back, as bytes."""
    taken = contract.inputs[0]
    return Way(f"/v2/models/{contract.name}/infer", lambda sample: _question(taken, sample), _answer)


def _question(spec: TensorSpec, sample: Array) -> Question:
    raw = sample.tobytes()
    tensor = {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(sample.shape),
        "parameters": {"binary_data_size": len(raw)},
    }
    header = json.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor]}).encode()
    return Question(header + raw, {"Content-Type": BYTES, HEADER_LENGTH: str(len(header))})


def _answer(body: bytes, headers: Headers) -> Array:
    return np.frombuffer(body[int(headers[HEADER_LENGTH.lower()]) :], "<f4")
