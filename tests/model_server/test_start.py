"""Starting: what is served, and one clear line where nothing can be."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from model_server.protocol import EXTENSIONS
from tests.model_server import running
from tests.model_server.running import ROOT, Server, environment


def refused(models: Path, **settings: str) -> str:
    """Return the error of a server that must not start."""
    command = [sys.executable, "-m", "model_server"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(models, settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == ""
    errors = [one for one in map(json.loads, done.stdout.splitlines()) if one["level"] == "error"]
    assert [one["message"] for one in errors] == ["cannot serve"]
    return str(errors[0]["error"])


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_server_names_itself_and_its_models(client: httpx.Client) -> None:
    assert client.get("/v2").json() == {"name": "modelstack", "version": "0.1.0", "extensions": list(EXTENSIONS)}
    assert {"linear", "pair"} <= set(client.get("/v2/models").json()["models"])


@pytest.mark.parametrize("path", ["/v2/models/linear", "/v2/models/linear/versions/0123456789ab"])
def test_a_models_metadata_says_what_it_takes_and_gives(client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == {
        "name": "linear",
        "versions": ["0123456789ab"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        "labels": ["a", "b", "c"],
    }
    assert client.get(path + "/ready").json() == {"name": "linear", "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/linear/versions/9/ready"])
def test_metadata_of_what_is_not_served_is_not_found(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert list(response.json()) == ["error"]


def test_logs_hold_no_payload(server: Server, client: httpx.Client) -> None:
    sent = {"id": "secret-id", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ["secret-value"]}]}
    assert client.post("/v2/models/linear/infer", json=sent).status_code == 400
    client.post("/v2/models/secret-model/infer", json=sent)
    logged = [line for line in server.lines if line.get("code") == 404 and line.get("model") == "unknown"]
    while not logged:
        logged = [line for line in server.lines if line.get("code") == 404 and line.get("model") == "unknown"]
    assert "secret" not in json.dumps(server.lines)


def test_golden_answers_that_differ_leave_that_model_not_ready(tmp_path: Path) -> None:
    running.write_linear(tmp_path, "good")
    running.write_linear(tmp_path, "wrong", off_by=0.5)
    with running.running(tmp_path, ready=False) as server, server.client() as client:
        line = server.wait_for("model not ready")
        assert line["model"] == "wrong"
        assert "golden answers differ: output 'y' by 0.5" in line["error"]
        while client.get("/v2/models/good/ready").status_code != 200:
            assert server.process.poll() is None
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/models/wrong/ready").json() == {"name": "wrong", "ready": False}
        sample = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
        response = client.post("/v2/models/wrong/infer", json=sample)
        assert response.status_code == 503
        assert "golden answers differ" in response.json()["error"]
        assert client.post("/v2/models/good/infer", json=sample).status_code == 200


def test_golden_answers_off_by_a_rounding_of_int8_are_accepted(tmp_path: Path) -> None:
    running.write_linear(tmp_path, off_by=0.005)
    with running.running(tmp_path) as server, server.client() as client:
        assert client.get("/v2/models/linear/ready").status_code == 200


def test_golden_answers_that_are_nan_leave_the_model_not_ready(tmp_path: Path) -> None:
    running.write_linear(tmp_path, off_by=float("nan"))
    with running.running(tmp_path, ready=False) as server:
        assert "golden answers differ" in server.wait_for("model not ready")["error"]


def test_a_server_for_a_gpu_that_is_not_there_stops_instead_of_answering_from_the_cpu(tmp_path: Path) -> None:
    running.write_linear(tmp_path)
    assert "give the pod a GPU and its driver" in refused(tmp_path, MODELSTACK_DEVICE="cuda")


def test_a_file_that_is_no_model_stops_the_server(tmp_path: Path) -> None:
    folder = running.write_linear(tmp_path)
    (folder / "model.onnx").write_bytes(b"\x08\x08not a model")
    assert "model.onnx: onnxruntime" in refused(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"inputs": [running.spec("z", "FP32", [-1, 4])]}, "inputs: ['z'], but model.onnx has ['x']"),
        ({"inputs": [running.spec("x", "FP64", [-1, 4])]}, "'x' is FP64, but model.onnx says tensor(float)"),
        ({"inputs": [running.spec("x", "FP32", [-1, 5])]}, "'x' is [-1, 5], but model.onnx says ['n', 4]"),
        ({"inputs": [running.spec("x", "FP32", [-1, -1])]}, "'x' is [-1, -1], but model.onnx says ['n', 4]"),
        ({"outputs": [running.spec("q", "FP32", [-1, 3])]}, "'q' is not in model.onnx, which has ['y']"),
    ],
)
def test_a_contract_the_model_does_not_keep_stops_the_server(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    edited(running.write_linear(tmp_path), **changes)
    assert says in refused(tmp_path)


def test_a_contract_that_cannot_be_read_stops_the_server(tmp_path: Path) -> None:
    edited(running.write_linear(tmp_path), platform="tensorflow")
    error = refused(tmp_path)
    assert error.startswith(str(tmp_path / "linear" / "model.json"))
    assert "platform: 'tensorflow' is not served" in error


def test_a_golden_set_that_does_not_fit_stops_the_server(tmp_path: Path) -> None:
    folder = running.write_linear(tmp_path)
    np.savez(folder / "golden.npz", inputs=np.zeros((2, 5), np.float32), outputs=np.zeros((2, 3), np.float32))
    assert "golden.npz: inputs: float32 [2, 5], but 'x' is float32 [-1, 4]" in refused(tmp_path)


def test_a_golden_set_with_pickled_objects_is_not_unpickled(tmp_path: Path) -> None:
    folder = running.write_linear(tmp_path)
    np.savez(folder / "golden.npz", inputs=np.array([{}], object), outputs=np.zeros((1, 3), np.float32))
    assert "golden.npz: cannot be read" in refused(tmp_path)


def test_a_folder_without_models_stops_the_server(tmp_path: Path) -> None:
    assert "has no folder with a model.json" in refused(tmp_path)
    assert "is not a folder" in refused(tmp_path / "missing")


def test_a_wrong_setting_stops_the_server(models: Path) -> None:
    assert refused(models, MODELSTACK_PORT="http").startswith("MODELSTACK_PORT: 'http' is not a whole number")


def test_a_port_in_use_stops_the_server(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(models, MODELSTACK_PORT=str(port)).startswith(f"MODELSTACK_PORT: {port} on 127.0.0.1")


@pytest.mark.skipif(os.geteuid() != 0, reason="taking rights away from others needs root")
def test_the_server_writes_no_file(models: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in models.rglob("*")}
    with running.running(models, HOME="/nonexistent", TMPDIR="/nonexistent") as server:
        assert server.stop() == 0
    assert {path: path.stat().st_mtime_ns for path in models.rglob("*")} == before
