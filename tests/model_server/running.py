"""Model folders and the real server process, for tests."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.model_server import onnx_files

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS: NDArray[np.float32] = np.linspace(0, 1.375, 12, dtype=np.float32).reshape(4, 3)
BIAS: NDArray[np.float32] = np.array([0.5, -1, 2], np.float32)


def spec(name: str, datatype: str, shape: list[int]) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape}


def contract(name: str, inputs: list[dict[str, object]], outputs: list[dict[str, object]]) -> dict[str, Any]:
    return {
        "name": name,
        "version": "0123456789ab",
        "platform": "onnxruntime_onnx",
        "file": "model.onnx",
        "inputs": inputs,
        "outputs": outputs,
    }


def write_model(folder: Path, document: object, model: bytes, **golden: NDArray[Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(document))
    (folder / "model.onnx").write_bytes(model)
    np.savez(folder / "golden.npz", **golden)  # type: ignore[arg-type]  # the stub takes the names for options
    return folder


def write_linear(root: Path, name: str = "linear", off_by: float = 0.0) -> Path:
    """Write a linear model; `off_by` is added to its golden answers."""
    samples = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
    document = contract(name, [spec("x", "FP32", [-1, 4])], [spec("y", "FP32", [-1, 3])])
    document["labels"] = ["a", "b", "c"]
    answers = samples @ WEIGHTS + BIAS + np.float32(off_by)
    return write_model(root / name, document, onnx_files.linear(WEIGHTS, BIAS), inputs=samples, outputs=answers)


def write_identity(root: Path, datatype: str, samples: NDArray[Any]) -> Path:
    name = f"identity-{datatype.lower()}"
    shape = [-1, *samples.shape[1:]]
    document = contract(name, [spec("x", datatype, shape)], [spec("y", datatype, shape)])
    return write_model(root / name, document, onnx_files.identity(datatype, shape), inputs=samples, outputs=samples)


def write_free(root: Path) -> Path:
    """Write a model that answers its input, of which a request says how long a sample is."""
    samples: NDArray[np.float32] = np.ones((2, 3), np.float32)
    document = contract("free", [spec("x", "FP32", [-1, -1])], [spec("y", "FP32", [-1, -1])])
    model = onnx_files.identity("FP32", [-1, -1])
    return write_model(root / "free", document, model, inputs=samples, outputs=samples)


def write_pair(root: Path) -> Path:
    """Write a model of two inputs and two outputs."""
    ones: NDArray[np.float32] = np.ones((2, 2), np.float32)
    document = contract(
        "pair",
        [spec("a", "FP32", [-1, 2]), spec("b", "FP32", [-1, 2])],
        [spec("sum", "FP32", [-1, 2]), spec("inverse", "FP32", [-1, 2])],
    )
    golden = {"inputs.a": ones, "inputs.b": ones, "outputs.sum": ones + 1, "outputs.inverse": ones}
    return write_model(root / "pair", document, onnx_files.sum_and_reciprocal(), **golden)


def write_lookup(root: Path) -> Path:
    """Write a model that looks its inputs up in a table of three, and fails on any other."""
    table: NDArray[np.float32] = np.array([10, 20, 30], np.float32)
    document = contract("lookup", [spec("x", "INT64", [-1, 1])], [spec("y", "FP32", [-1, 1])])
    golden = {"inputs": np.array([[0], [2]]), "outputs": np.array([[10], [30]], np.float32)}
    return write_model(root / "lookup", document, onnx_files.lookup(table), **golden)


def write_counting(root: Path) -> Path:
    """Write a model that takes as long as `times` asks for."""
    document = contract(
        "counting", [spec("times", "INT64", [1]), spec("x", "FP32", [-1, 1])], [spec("y", "FP32", [-1, 1])]
    )
    golden = {"inputs.times": np.array([3]), "inputs.x": np.zeros((1, 1), np.float32)}
    answers = np.full((1, 1), 3, np.float32)
    return write_model(root / "counting", document, onnx_files.counting(), **golden, outputs=answers)


@dataclass
class Server:
    """A server process; `lines` are its log lines so far, as they arrive."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def wait_for(self, message: str) -> dict[str, Any]:
        """Return the first log line with `message`; fails where the process ends without one."""
        while True:
            ended = self.process.poll() is not None
            found = next((line for line in self.lines if line["message"] == message), None)
            if found is not None:
                return found
            if ended:
                time.sleep(0.2)  # its last lines may still be on their way
                found = next((line for line in self.lines if line["message"] == message), None)
                assert found is not None, f"ended with {self.process.returncode}: {self.lines}"
            time.sleep(0.01)

    def wait_until_ready(self) -> None:
        with self.client() as client:
            while client.get("/v2/health/ready").status_code != 200:
                assert self.process.poll() is None, self.lines
                time.sleep(0.02)

    def stop(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def environment(models: Path, settings: Mapping[str, str]) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MODELSTACK_")}
    fixed = {
        "MODELSTACK_MODELS": str(models),
        "MODELSTACK_HOST": "127.0.0.1",
        "MODELSTACK_PORT": "0",
        "MODELSTACK_DRAIN_SECONDS": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MODELSTACK_NATIVE": "0",
    }
    tested = {key.removeprefix("TESTED_"): value for key, value in os.environ.items() if key.startswith("TESTED_")}
    return clean | fixed | tested | dict(settings)


def start(models: Path, *, python: str = sys.executable, **settings: str) -> Server:
    """Start the server on a free port, without waiting for it."""
    process = subprocess.Popen(
        [python, "-W", "error", "-m", "model_server"],
        cwd=ROOT,
        env=environment(models, settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    server = Server(process)
    threading.Thread(target=_collect, args=(server,), daemon=True).start()
    return server


def _collect(server: Server) -> None:
    assert server.process.stdout is not None
    with server.process.stdout as lines:
        for line in lines:
            server.lines.append(json.loads(line))


@contextmanager
def running(
    models: Path,
    *,
    ready: bool = True,
    given: Mapping[str, str] | None = None,
    python: str = sys.executable,
    **settings: str,
) -> Iterator[Server]:
    """Run the server for a block, with the variables of `given` too; it is killed at the end where it still runs."""
    server = start(models, python=python, **{**settings, **(given or {})})
    try:
        server.url = f"http://127.0.0.1:{server.wait_for('listening')['port']}"
        if ready:
            server.wait_until_ready()
        yield server
    finally:
        server.process.kill()
        server.process.wait()
