"""A real Triton reads the repository that a recipe makes, and answers from it; its onnxruntime backend is ours."""

import contextlib
import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_build import wheels
from model_build.oci.layer import packed
from tests.model_build.served import CASES, Case, artifact, extracted
from tests.registry import free_port
from tests.waiting import until

HERE = Path(__file__).with_name("triton")
NAMED = {case.name: case for case in CASES}
WEIGHTS = np.linspace(-1, 1, 640, dtype=np.float32).reshape(64, 10)
SAMPLES = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(3, 1, 8, 8)


@dataclass(frozen=True)
class Running:
    """A Triton that serves one case, and where each port of the table is reached."""

    case: Case
    ports: dict[str, int]

    def get(self, path: str, port: str = "http") -> httpx.Response:
        """Ask for a path."""
        return httpx.get(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=10)

    def infer(self, samples: NDArray[np.float32], **output: Any) -> httpx.Response:
        """Send samples over the Open Inference Protocol."""
        tensor = {"name": "input", "datatype": "FP32", "shape": list(samples.shape), "data": samples.ravel().tolist()}
        body: dict[str, Any] = {"inputs": [tensor], "outputs": [{"name": "logits", "parameters": output}]}
        address = f"http://127.0.0.1:{self.ports['http']}/v2/models/digits/infer"
        return httpx.post(address, json=body, timeout=10)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Triton and its Python backend, under which ours lies as the one named onnxruntime."""
    if ctypes.util.find_library("python3.11") is None:
        pytest.skip("Triton's Python backend needs libpython3.11, which Debian's package of that name has")
    folder = tmp_path_factory.mktemp("triton")
    assert not wheels.lay_out(HERE / "requirements.txt", folder)
    server = folder / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    (server / "backends" / "onnxruntime").mkdir()
    shutil.copy(HERE / "model.py", server / "backends" / "onnxruntime")
    shutil.copy(stub, server / "backends" / "python")
    for file in (server / "bin" / "tritonserver", server / "backends" / "python" / stub.name):
        file.chmod(0o755)
    return folder


@pytest.fixture(scope="module", params=["triton", "kserve"])
def triton(
    request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The server of a case, started by the table's own command on the layers' own files."""
    case = NAMED[request.param]
    folder = artifact(tmp_path_factory.mktemp("artifact"), case)
    onnx.save(linear(), folder / "model.onnx")
    root = tmp_path_factory.mktemp("root")
    extracted(packed(case.made.layout(folder)), root)
    with started(case, program, root) as running:
        yield running


@contextlib.contextmanager
def started(case: Case, program: Path, root: Path) -> Iterator[Running]:
    made, server = case.made, program / "pytriton" / "tritonserver"
    ports = {name: free_port() for name in made.ports}
    moved = {f"--{name}-port={number}": f"--{name}-port={ports[name]}" for name, number in made.ports.items()}
    moved |= {made.command[0]: str(server / "bin" / "tritonserver")}
    moved |= {f"--model-repository={made.root}": f"--model-repository={root / 'models'}"}
    command = [moved.get(one, one) for one in made.command]
    command += [f"--{name}-address=127.0.0.1" for name in ports]
    path = os.pathsep.join(one for one in sys.path if one.endswith("site-packages"))
    libraries = {"LD_LIBRARY_PATH": str(program / "nvidia_pytriton.libs"), "MODELSTACK_TEST_PATH": path}
    log = root / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, f"--backend-directory={server / 'backends'}"],
            env=os.environ | libraries,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    running = Running(case, ports)
    try:
        until(lambda: process.poll() is not None or answers(running, made.health.startup.path), "Triton is ready")
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(60)


def answers(running: Running, path: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return running.get(path).status_code == 200
    return False


def linear() -> onnx.ModelProto:
    """Return a graph that multiplies a picture by weights that are known here."""
    flat = helper.make_tensor("flat", TensorProto.INT64, [2], [-1, 64])
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [64, 10], WEIGHTS.ravel())
    nodes = [
        helper.make_node("Reshape", ["input", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["logits"]),
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, 8, 8])
    answer = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, "linear", [given], [answer], [flat, weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_triton_answers_from_the_repository_as_onnxruntime_does(triton: Running) -> None:
    answer = triton.infer(SAMPLES)
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert output["shape"] == [3, 10]
    assert np.allclose(np.reshape(output["data"], (3, 10)), SAMPLES.reshape(3, 64) @ WEIGHTS, atol=1e-4)


def test_triton_is_well_at_the_probes_of_the_table(triton: Running) -> None:
    health = triton.case.made.health
    assert {triton.get(probe.path).status_code for probe in (health.startup, health.ready, health.live)} == {200}


def test_triton_tells_of_the_model_where_prometheus_is_sent(triton: Running) -> None:
    triton.infer(SAMPLES)
    port, path = triton.case.made.metrics
    assert 'nv_inference_request_success{model="digits"' in triton.get(path, port).text


def test_triton_names_classes_by_the_labels_of_the_artifact(triton: Running) -> None:
    (output,) = triton.infer(SAMPLES[:1], classification=1).json()["outputs"]
    wanted = int((SAMPLES[0].ravel() @ WEIGHTS).argmax())
    assert output["data"][0].endswith(f":{wanted}:{wanted}")


def test_triton_refuses_a_batch_over_the_recipes_limit(triton: Running) -> None:
    limit = triton.case.parsed.runtime.max_batch_size  # type: ignore[union-attr]
    assert triton.infer(np.zeros((limit, 1, 8, 8), np.float32)).status_code == 200
    refused = triton.infer(np.zeros((limit + 1, 1, 8, 8), np.float32))
    assert refused.status_code == 400
    assert f"batch-size must be <= {limit}" in refused.text
