"""Clients that nobody here wrote ask the real server: Triton's own, and KServe's SDK in an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray

from model_build import wheels
from tests.model_server.conftest import SAMPLES
from tests.model_server.running import BIAS, WEIGHTS, Server, running
from tests.model_server.test_text import write_text
from tests.registry import free_port

ROWS: NDArray[np.float32] = np.array([[0.25, -1, 3.5, 2], [1, 2, 3, 4]], np.float32)
VERSION = "0123456789ab"
KSERVE = Path(__file__).with_name("kserve")


def client_of(server: Server, **options: Any) -> "triton.InferenceServerClient":
    return triton.InferenceServerClient(server.url.removeprefix("http://"), **options)


@pytest.fixture
def client(server: Server) -> Iterator["triton.InferenceServerClient"]:
    with client_of(server) as client:
        yield client


def given(name: str, array: NDArray[Any], datatype: str, *, binary: bool) -> "triton.InferInput":
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def test_a_client_sees_that_server_and_model_live_and_are_ready(client: "triton.InferenceServerClient") -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("linear")
    assert client.is_model_ready("linear", VERSION)
    assert not client.is_model_ready("linear", "2")
    assert not client.is_model_ready("absent")


def test_a_client_reads_what_server_and_model_say_of_themselves(client: "triton.InferenceServerClient") -> None:
    about = client.get_server_metadata()
    assert about["name"] == "modelstack"
    assert {"binary_tensor_data", "model_repository(index)"} <= set(about["extensions"])
    model = client.get_model_metadata("linear")
    assert (model["name"], model["versions"], model["platform"]) == ("linear", [VERSION], "onnxruntime_onnx")
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert model["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]


def test_a_client_lists_the_repository(client: "triton.InferenceServerClient") -> None:
    index = client.get_model_repository_index()
    assert {"name": "linear", "version": VERSION, "state": "READY", "reason": ""} in index


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
def test_a_client_is_answered_in_json_and_in_bytes(
    client: "triton.InferenceServerClient", sent: bool, wanted: bool
) -> None:
    inputs = [given("x", ROWS, "FP32", binary=sent)]
    outputs = [triton.InferRequestedOutput("y", binary_data=wanted)]
    answer = client.infer("linear", inputs, outputs=outputs, request_id="order-7", model_version=VERSION)
    np.testing.assert_allclose(answer.as_numpy("y"), ROWS @ WEIGHTS + BIAS, rtol=1e-5)
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("order-7", "linear", VERSION)


def test_a_client_that_names_no_outputs_is_given_all(client: "triton.InferenceServerClient") -> None:
    twos = np.full((1, 2), 2, np.float32)
    inputs = [given("a", twos, "FP32", binary=True), given("b", twos * 2, "FP32", binary=False)]
    answer = client.infer("pair", inputs)
    assert answer.as_numpy("sum").tolist() == [[6, 6]]
    assert answer.as_numpy("inverse").tolist() == [[0.25, 0.25]]


def test_a_client_is_given_the_outputs_it_names_in_their_order(client: "triton.InferenceServerClient") -> None:
    ones = np.ones((1, 2), np.float32)
    inputs = [given(name, ones, "FP32", binary=True) for name in ("b", "a")]
    outputs = [triton.InferRequestedOutput("inverse", binary_data=False), triton.InferRequestedOutput("sum")]
    answer = client.infer("pair", inputs, outputs=outputs)
    assert [one["name"] for one in answer.get_response()["outputs"]] == ["inverse", "sum"]
    assert answer.as_numpy("inverse").tolist() == [[1, 1]]
    assert answer.as_numpy("sum").tolist() == [[2, 2]]
    only = client.infer("pair", inputs, outputs=outputs[1:])
    assert only.as_numpy("inverse") is None


@pytest.mark.parametrize("datatype", SAMPLES)
def test_a_client_gets_every_datatype_back_in_bytes(client: "triton.InferenceServerClient", datatype: str) -> None:
    sample = SAMPLES[datatype]
    answer = client.infer(f"identity-{datatype.lower()}", [given("x", sample, datatype, binary=True)])
    np.testing.assert_array_equal(answer.as_numpy("y"), sample)
    assert answer.as_numpy("y").dtype == sample.dtype


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_a_client_may_compress_what_it_sends_and_accept_what_comes(
    client: "triton.InferenceServerClient", packed: str
) -> None:
    rows = np.resize(ROWS, (3000, 4))
    answer = client.infer(
        "linear",
        [given("x", rows, "FP32", binary=True)],
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    np.testing.assert_allclose(answer.as_numpy("y"), rows @ WEIGHTS + BIAS, rtol=1e-5)


def test_clients_at_once_are_each_given_their_own_answer(server: Server) -> None:
    with client_of(server, concurrency=8) as client:
        inputs = [np.full((1, 4), number, np.float32) for number in range(64)]
        asked = [client.async_infer("linear", [given("x", one, "FP32", binary=True)]) for one in inputs]
        for one, pending in zip(inputs, asked, strict=True):
            np.testing.assert_allclose(pending.get_result().as_numpy("y"), one @ WEIGHTS + BIAS, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "name", "rows", "status", "says"),
    [
        ("absent", "x", 1, "404", "'absent' is not served here"),
        ("linear", "z", 1, "400", "'z' is not one of the model's: x"),
        ("linear", "x", 20000, "413", "larger than 100000 bytes"),
    ],
)
def test_a_client_is_told_what_was_wrong(  # noqa: PLR0917 - one call, and what is wrong with it
    client: "triton.InferenceServerClient", model: str, name: str, rows: int, status: str, says: str
) -> None:
    with pytest.raises(triton.InferenceServerException, match=r".+") as caught:
        client.infer(model, [given(name, np.zeros((rows, 4), np.float32), "FP32", binary=True)])
    assert caught.value.status() == status
    assert says in caught.value.message()


def test_a_client_is_told_that_models_are_not_loaded_on_demand(client: "triton.InferenceServerClient") -> None:
    with pytest.raises(triton.InferenceServerException, match="no such path") as caught:
        client.load_model("linear")
    assert caught.value.status() == "404"


@pytest.mark.parametrize("binary", [False, True])
def test_a_client_sends_texts(tmp_path: Path, binary: bool) -> None:
    write_text(tmp_path)
    with running(tmp_path) as server, client_of(server) as client:
        texts = np.array(["one two", "grün"], np.object_)
        answer = client.infer("text", [given("text", texts, "BYTES", binary=binary)])
        assert answer.as_numpy("embedding").tolist() == [[5, 2], [5, 1]]


@pytest.fixture(scope="module")
def kserve(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What KServe's SDK was told over HTTP and gRPC; it lives in an environment of its own."""
    packages = tmp_path_factory.mktemp("kserve")
    fault = wheels.lay_out(KSERVE / "requirements.txt", packages)
    assert not fault, fault
    port = str(free_port())
    with running(models, MODELSTACK_GRPC_PORT=port) as server:
        done = subprocess.run(
            [sys.executable, "-S", str(KSERVE / "ask.py"), server.url, f"127.0.0.1:{port}"],
            env={"PATH": os.environ["PATH"], "HOME": str(packages), "PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_kserves_client_sees_that_server_and_model_live_and_are_ready(kserve: dict[str, Any]) -> None:
    seen = {name: kserve["http"][name] for name in ("live", "ready", "model ready", "absent ready")}
    assert seen == {"live": True, "ready": True, "model ready": True, "absent ready": False}


def test_kserves_grpc_client_sees_that_server_and_model_live_and_are_ready(kserve: dict[str, Any]) -> None:
    seen = {name: kserve["grpc"][name] for name in ("live", "ready", "model ready")}
    assert seen == {"live": True, "ready": True, "model ready": True}


@pytest.mark.parametrize(("over", "form"), [("http", "json"), ("http", "bytes"), ("grpc", "bytes")])
def test_kserves_client_is_answered_in_json_and_in_bytes(kserve: dict[str, Any], over: str, form: str) -> None:
    told = kserve[over][form]
    assert (told["id"], told["model"], told["output"]) == ("order-7", "linear", ["y", "FP32", [2, 3]])
    np.testing.assert_allclose(told["data"], ROWS @ WEIGHTS + BIAS, rtol=1e-5)


def test_kserves_client_is_told_what_was_wrong(kserve: dict[str, Any]) -> None:
    status, message = kserve["http"]["wrong"]
    assert status == 400
    assert "'z' is not one of the model's: x" in message
