"""Tensors as bytes, as Triton's binary tensor extension sends them."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.model_server.conftest import SAMPLES
from tests.model_server.running import BIAS, WEIGHTS, running, write_free
from tests.model_server.test_text import write_text

LENGTH = "inference-header-content-length"
ROWS: NDArray[np.float32] = np.array([[0.25, -1, 3.5, 2], [1, 2, 3, 4]], np.float32)


def ask(client: httpx.Client, model: str, header: dict[str, Any], raw: bytes = b"", **headers: str) -> httpx.Response:
    text = json.dumps(header).encode()
    sent = {LENGTH: str(len(text))} | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v2/models/{model}/infer", content=text + raw, headers=sent)


def told(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def tensors(response: httpx.Response) -> list[tuple[dict[str, Any], bytes]]:
    """Return the outputs of an answer in bytes, each with its bytes."""
    assert response.status_code == 200, response.text
    length = int(response.headers[LENGTH])
    raw = response.content[length:]
    found = []
    for output in json.loads(response.content[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        found.append((output, raw[:size]))
        raw = raw[size:]
    assert raw == b""
    return found


@pytest.mark.parametrize("rows", [2, 5000])
def test_bytes_go_in_and_come_out(client: httpx.Client, rows: int) -> None:
    sent = np.resize(ROWS, (rows, 4))
    header = {"inputs": [told("x", "FP32", [rows, 4], sent.nbytes)], "parameters": {"binary_data_output": True}}
    response = ask(client, "linear", header, sent.tobytes())
    assert response.headers["content-type"] == "application/octet-stream"
    ((output, raw),) = tensors(response)
    assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [rows, 3])
    assert "data" not in output
    np.testing.assert_allclose(np.frombuffer(raw, "<f4").reshape(rows, 3), sent @ WEIGHTS + BIAS, rtol=1e-5)


@pytest.mark.parametrize("datatype", SAMPLES)
def test_every_datatype_comes_back_byte_by_byte(client: httpx.Client, datatype: str) -> None:
    raw = SAMPLES[datatype].tobytes()
    header = {"inputs": [told("x", datatype, [1, 2], len(raw))], "outputs": [_wanted("y")]}
    assert [one for _, one in tensors(ask(client, f"identity-{datatype.lower()}", header, raw))] == [raw]


def test_a_value_that_json_cannot_carry_comes_back_in_bytes(client: httpx.Client) -> None:
    raw = np.array([[np.nan, -np.inf]], np.float32).tobytes()
    header = {"inputs": [told("x", "FP32", [1, 2], len(raw))], "outputs": [_wanted("y")]}
    assert tensors(ask(client, "identity-fp32", header, raw))[0][1] == raw


def test_json_and_bytes_may_be_mixed(client: httpx.Client) -> None:
    ones = np.ones((1, 2), np.float32)
    as_json = {"name": "b", "datatype": "FP32", "shape": [1, 2], "data": [2, 4]}
    header = {
        "inputs": [told("a", "FP32", [1, 2], ones.nbytes), as_json],
        "outputs": [{"name": "inverse"}, _wanted("sum")],
    }
    inverse, total = tensors(ask(client, "pair", header, ones.tobytes()))
    assert inverse[0]["data"] == [0.5, 0.25]
    assert np.frombuffer(total[1], "<f4").tolist() == [3, 5]


def test_an_output_can_stay_json_where_the_others_are_bytes(client: httpx.Client) -> None:
    as_json = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}
    outputs = [{"name": "y", "parameters": {"binary_data": False}}]
    sent = {"inputs": [as_json], "outputs": outputs, "parameters": {"binary_data_output": True}}
    response = client.post("/v2/models/linear/infer", json=sent)
    assert response.headers["content-type"] == "application/json"
    assert response.json()["outputs"][0]["data"] == BIAS.tolist()


@pytest.mark.parametrize(
    ("header", "raw", "says"),
    [
        ({"inputs": [told("x", "FP32", [1, 4], 15)]}, b"\0" * 15, "15 bytes, FP32 of shape [1, 4] has 16"),
        ({"inputs": [told("x", "FP32", [1, 4], 16)]}, b"\0" * 15, "16 is not a number of bytes up to the 15"),
        ({"inputs": [told("x", "FP32", [1, 4], -1)]}, b"", "-1 is not a number of bytes"),
        ({"inputs": [told("x", "FP32", [1, 4], 16)]}, b"\0" * 17, "1 bytes follow the inputs' binary_data_size"),
        ({"inputs": [told("x", "FP32", [10**18, 4], 16)]}, b"\0" * 16, "has 16000000000000000000"),
        ({"inputs": [told("x", "FP32", [1, 4], 16) | {"data": [1]}]}, b"\0" * 16, "has both data and binary_data_size"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(client: httpx.Client, header: dict[str, Any], raw: bytes, says: str) -> None:
    response = ask(client, "linear", header, raw)
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_a_bool_is_one_byte_of_0_or_1(client: httpx.Client) -> None:
    response = ask(client, "identity-bool", {"inputs": [told("x", "BOOL", [1, 2], 2)]}, b"\1\2")
    assert response.status_code == 400
    assert "neither 0 nor 1" in response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "nine", "99999999999999999999", "1000"])
def test_a_length_of_the_json_that_cannot_be_is_refused(client: httpx.Client, length: str) -> None:
    response = client.post("/v2/models/linear/infer", content=b"{}", headers={LENGTH: length})
    assert response.status_code == 400
    assert "Inference-Header-Content-Length" in response.json()["error"]


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_bytes_alone_are_as_many_samples_as_they_hold(client: httpx.Client, rows: int) -> None:
    sent = np.resize(ROWS, (rows, 4))
    response = client.post("/v2/models/linear/infer", content=sent.tobytes(), headers={LENGTH: "0"})
    ((output, raw),) = tensors(response)
    assert output["shape"] == [rows, 3]
    np.testing.assert_allclose(np.frombuffer(raw, "<f4").reshape(rows, 3), sent @ WEIGHTS + BIAS, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "raw", "says"),
    [
        ("linear", b"", "0 bytes, FP32 of shape [-1, 4] has 16 each"),
        ("linear", b"\0" * 17, "17 bytes, FP32 of shape [-1, 4] has 16 each"),
        ("pair", b"\0" * 16, "the model takes 2; send JSON"),
    ],
)
def test_bytes_alone_that_do_not_fit_are_refused(client: httpx.Client, model: str, raw: bytes, says: str) -> None:
    response = client.post(f"/v2/models/{model}/infer", content=raw, headers={LENGTH: "0"})
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_bytes_alone_are_one_sample_where_its_length_is_free(tmp_path: Path) -> None:
    write_free(tmp_path)
    with running(tmp_path) as server, server.client() as client:
        response = client.post("/v2/models/free/infer", content=ROWS[0].tobytes(), headers={LENGTH: "0"})
        ((output, raw),) = tensors(response)
    assert (output["shape"], raw) == ([1, 4], ROWS[0].tobytes())


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[httpx.Client]:
    write_text(tmp_path)
    with running(tmp_path) as server, server.client() as client:
        yield client


def test_texts_come_with_their_lengths(texts: httpx.Client) -> None:
    raw = b"".join(struct.pack("<I", len(one)) + one for one in (b"one two", "grün".encode()))
    response = ask(texts, "text", {"inputs": [told("text", "BYTES", [2], len(raw))]}, raw)
    assert response.json()["outputs"][0]["data"] == [5, 2, 5, 1]
    for wrong, says in [
        (raw[:-1], "hold 1 whole texts, the shape says 2"),
        (raw + b"\0", "hold 2 whole texts"),
        (struct.pack("<I", 2**32 - 1) + b"a", "hold 0 whole texts"),
        (struct.pack("<I", 1) + b"\xff" + struct.pack("<I", 0), "not valid UTF-8"),
    ]:
        refused = ask(texts, "text", {"inputs": [told("text", "BYTES", [2], len(wrong))]}, wrong)
        assert refused.status_code == 400
        assert says in refused.json()["error"]


def test_a_text_may_come_alone(texts: httpx.Client) -> None:
    response = texts.post("/v2/models/text/infer", content="two grün".encode(), headers={LENGTH: "0"})
    assert np.frombuffer(tensors(response)[0][1], "<f4").tolist() == [8, 2]


def _wanted(name: str) -> dict[str, Any]:
    return {"name": name, "parameters": {"binary_data": True}}
