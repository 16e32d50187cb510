"""The artifact for devices: onnxruntime's own format, already optimized, checked against the golden set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model_build import npz
from model_build.artifact import MODEL
from model_build.data import Tokenizer
from model_build.errors import GateError
from model_build.measure import Artifact, UnusableError

# Layouts of the x86 instructions of this machine are of no use elsewhere.
LEVELS = {
    "host": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "arm64": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
RTOL, ATOL = 1e-3, 1e-4


def write(artifact: Path, out: Path, target: str) -> Path:
    """Write `model.ort` (`model.arm64.ort`) into `out` and return it; raises GateError where it answers otherwise."""
    path = out / ("model.ort" if target == "host" else f"model.{target}.ort")
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[target]
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(artifact / MODEL), options, providers=["CPUExecutionProvider"])
    _require_the_same_answers(artifact, path)
    return path


def _require_the_same_answers(artifact: Path, path: Path) -> None:
    golden = npz.load(artifact / "golden.npz")
    wanted = golden["outputs"].astype(np.float32)
    try:
        answers = Artifact(path).answer(_fed(artifact, golden["inputs"]))
    except UnusableError as error:
        path.unlink(missing_ok=True)
        raise GateError(f"export: {error}; the limit is an answer to the golden set; export ONNX instead") from error
    distance = float(np.abs(answers - wanted).max())
    if not np.allclose(answers, wanted, rtol=RTOL, atol=ATOL):
        path.unlink()
        raise GateError(
            f"export: {path.name} differs from the golden set by {distance:.2e}, the limit is {ATOL} + {RTOL} of each "
            "answer; export ONNX instead"
        )


def _fed(artifact: Path, given: NDArray[Any]) -> NDArray[Any]:
    """Return golden samples as the graph takes them: texts as token ids."""
    tokens = json.loads((artifact / "model.json").read_bytes()).get("tokens")
    if tokens is None:
        return given
    return Tokenizer(artifact / tokens["file"], tokens["most"]).open().encode(given.tolist())
