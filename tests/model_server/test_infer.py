"""Inference over HTTP, against the real server process."""

import gzip
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from tests.model_server.conftest import SAMPLES
from tests.model_server.running import BIAS, WEIGHTS, Server

PACKED = gzip.compress(b"{}", mtime=0)  # tests have the same names in every process
LINEAR = "/v2/models/linear/infer"
SAMPLE = [0.25, -1.0, 3.5, 2.0]


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": SAMPLE} | changes


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor(**changes)]}


def error_of(response: httpx.Response) -> str:
    document = response.json()
    assert list(document) == ["error"]
    return str(document["error"])


def test_an_answer_is_what_the_model_computes(client: httpx.Client) -> None:
    answer = client.post(LINEAR, json=request()).json()
    expected = np.array([SAMPLE], np.float32) @ WEIGHTS + BIAS
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [1, 3])
    np.testing.assert_allclose(output["data"], expected[0], rtol=1e-6)
    assert (answer["model_name"], answer["model_version"]) == ("linear", "0123456789ab")


def test_flat_and_nested_data_give_the_same_answer(client: httpx.Client) -> None:
    rows: list[list[float]] = [[1, 2, 3, 4], [5.5, 6, 7, 8]]
    nested = client.post(LINEAR, json=request(shape=[2, 4], data=rows)).json()
    flat = client.post(LINEAR, json=request(shape=[2, 4], data=rows[0] + rows[1])).json()
    assert nested == flat
    assert nested["outputs"][0]["shape"] == [2, 3]


@pytest.mark.parametrize("datatype", SAMPLES)
def test_every_datatype_comes_back_as_it_was_sent(client: httpx.Client, datatype: str) -> None:
    values = SAMPLES[datatype].tolist()
    sent = {"inputs": [{"name": "x", "datatype": datatype, "shape": [1, 2], "data": values}]}
    answer = client.post(f"/v2/models/identity-{datatype.lower()}/infer", json=sent)
    (output,) = answer.json()["outputs"]
    assert output["datatype"] == datatype
    back = np.array(output["data"], SAMPLES[datatype].dtype)
    np.testing.assert_array_equal(back, SAMPLES[datatype][0])


def test_the_id_is_echoed(client: httpx.Client) -> None:
    assert client.post(LINEAR, json=request() | {"id": "order-7"}).json()["id"] == "order-7"


def test_without_an_id_none_is_made_up(client: httpx.Client) -> None:
    assert "id" not in client.post(LINEAR, json=request()).json()


def test_only_the_outputs_asked_for_come_in_the_order_asked(client: httpx.Client) -> None:
    sent = {
        "inputs": [tensor(name=name, shape=[1, 2], data=[2, 4]) for name in ("b", "a")],
        "outputs": [{"name": "inverse"}, {"name": "sum"}],
    }
    outputs = client.post("/v2/models/pair/infer", json=sent).json()["outputs"]
    assert [(one["name"], one["data"]) for one in outputs] == [("inverse", [0.5, 0.25]), ("sum", [4, 8])]
    sent["outputs"] = [{"name": "inverse"}]
    outputs = client.post("/v2/models/pair/infer", json=sent).json()["outputs"]
    assert [one["name"] for one in outputs] == ["inverse"]


def test_parameters_are_accepted(client: httpx.Client) -> None:
    sent = request(parameters={"binary_data": False}) | {"parameters": {"trace": "a", "priority": 1}}
    assert client.post(LINEAR, json=sent).status_code == 200


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"])
def test_the_content_type_does_not_matter(client: httpx.Client, kind: str) -> None:
    body = json.dumps(request())
    assert client.post(LINEAR, content=body, headers={"content-type": kind}).status_code == 200
    assert client.post(LINEAR, content=body).status_code == 200


def test_the_version_served_can_be_named(client: httpx.Client) -> None:
    path = "/v2/models/linear/versions/0123456789ab/infer"
    assert client.post(path, json=request()).json() == client.post(LINEAR, json=request()).json()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v2/models/nobody/infer", "'nobody' is not served"),
        ("/v2/models/linear/versions/2/infer", "no version '2'"),
        ("/v2/models/linear/versions/2/infer/", "no such path"),
    ],
)
def test_what_is_not_served_is_not_found(client: httpx.Client, path: str, says: str) -> None:
    response = client.post(path, json=request())
    assert response.status_code == 404
    assert says in error_of(response)


def test_a_get_of_infer_is_not_allowed(client: httpx.Client) -> None:
    response = client.get(LINEAR)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "GET" in error_of(response)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ([], "not a JSON object"),
        ({}, "inputs: None"),
        ({"inputs": []}, "inputs: []"),
        ({"inputs": {"x": [1]}}, "not a list"),
        ({"inputs": [7]}, "inputs[0]"),
        ({"inputs": [{"data": [1]}]}, "inputs[0]"),
        ({"inputs": [tensor(), tensor()]}, "named twice"),
        ({"inputs": [tensor(name="z")]}, "'z' is not one of the model's: x"),
        ({"id": 7, **request()}, "id: 7"),
        ({"id": "a" * 257, **request()}, "256 characters"),
        ({"parameters": [], **request()}, "parameters: []"),
        ({"parameters": {"deep": {}}, **request()}, "'deep'"),
        ({"outputs": "y", **request()}, "outputs: 'y'"),
        ({"outputs": [{"name": "z"}], **request()}, "'z' is not one of the model's: y"),
        ({"outputs": [{"name": "y", "parameters": {"binary_data": 1}}], **request()}, "binary_data: 1 is neither"),
        ({"parameters": {"binary_data_output": "yes"}, **request()}, "binary_data_output: 'yes' is neither"),
        (request(parameters={"binary_data_size": 16}), "binary_data_size: 16 is not a number of bytes up to the 0"),
        (request(datatype="FP64"), "FP64, the model takes FP32"),
        (request(datatype="BYTES"), "datatype: BYTES, the model takes FP32"),
        (request(datatype="FLOAT"), "'FLOAT' is unknown"),
        (request(datatype=None), "None is unknown"),
        (request(shape=None), "shape: None"),
        (request(shape=[4]), "does not fit the model's [-1, 4]"),
        (request(shape=[1, 5]), "does not fit the model's [-1, 4]"),
        (request(shape=[0, 4]), "1 or more"),
        (request(shape=[-1, 4]), "1 or more"),
        (request(shape=[1.0, 4]), "whole numbers"),
        (request(shape=[True, 4]), "whole numbers"),
        (request(shape=[10**18, 4]), "4 values, the shape says 4000000000000000000"),
        (request(data=None), "data: None"),
        (request(data=[1, 2, 3]), "3 values, the shape says 4"),
        (request(data=[[1, 2, 3]]), "a list of 4 is missing"),
        (request(data=[SAMPLE, SAMPLE]), "2 lists at the outermost level"),
        (request(data=[[1, 2, 3, [4]]]), "[4] is not a number"),
        (request(data=[1, 2, 3, [4]]), "[4] is not a number"),
        (request(data=[[[1, 2, 3, 4]]]), "a list of 4 is missing"),
        (request(data=[1, 2, 3, None]), "None is not a number"),
        (request(data=[1, 2, 3, "4"]), "'4' is not a number"),
        (request(data=[1, 2, 3, True]), "True is not a number"),
        (request(data=[1, 2, 3, 1e39]), "outside FP32's range"),
    ],
)
def test_a_malformed_request_is_refused_with_what_is_wrong(client: httpx.Client, sent: object, says: str) -> None:
    response = client.post(LINEAR, json=sent)
    assert response.status_code == 400
    assert says in error_of(response)


@pytest.mark.parametrize(
    ("datatype", "data", "says"),
    [
        ("INT8", [1, 128], "outside INT8's range, -128 to 127"),
        ("UINT8", [-1, 0], "outside UINT8's range"),
        ("INT64", [2**63, 0], "outside INT64's range"),
        ("UINT64", [2**64, 0], "is not a whole number"),
        ("INT32", [1.0, 2], "1.0 is not a whole number"),
        ("INT32", [True, 2], "True is not a whole number"),
        ("FP16", [65536, 0], "outside FP16's range"),
        ("BOOL", [0, True], "0 is not true or false"),
    ],
)
def test_a_value_its_datatype_cannot_hold_is_refused(
    client: httpx.Client, datatype: str, data: list[object], says: str
) -> None:
    sent = {"inputs": [{"name": "x", "datatype": datatype, "shape": [1, 2], "data": data}]}
    response = client.post(f"/v2/models/identity-{datatype.lower()}/infer", json=sent)
    assert response.status_code == 400
    assert says in error_of(response)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[NaN,1,1,1]}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[Infinity,1,1,1]}]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1e999,1,1,1]}]}',
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_not_plain_json_is_refused(client: httpx.Client, body: bytes) -> None:
    response = client.post(LINEAR, content=body)
    assert response.status_code == 400
    assert "not valid JSON" in error_of(response)


def test_data_nested_far_deeper_than_the_shape_is_refused(client: httpx.Client) -> None:
    data = "[" * 1000 + "]" * 1000
    body = json.dumps(request()).replace(json.dumps(SAMPLE), data)
    response = client.post(LINEAR, content=body)
    assert response.status_code == 400
    assert "missing" in error_of(response)


def test_a_body_announced_as_too_large_is_refused(client: httpx.Client) -> None:
    response = client.post(LINEAR, content=b" " * 5_000_000)
    assert response.status_code == 413
    assert "100000 bytes (MODELSTACK_MAX_BODY_BYTES)" in error_of(response)


def test_a_body_that_grows_too_large_is_refused(client: httpx.Client) -> None:
    response = client.post(LINEAR, content=(b" " * 10_000 for _ in range(50)))
    assert response.status_code == 413


def test_the_connection_serves_on_after_a_body_too_large(client: httpx.Client) -> None:
    client.post(LINEAR, content=b" " * 5_000_000)
    assert client.post(LINEAR, json=request()).status_code == 200


def test_a_compressed_body_is_unpacked(client: httpx.Client) -> None:
    packed = gzip.compress(json.dumps(request()).encode())
    assert client.post(LINEAR, content=packed, headers={"content-encoding": "gzip"}).status_code == 200
    deflated = zlib.compress(json.dumps(request()).encode())
    assert client.post(LINEAR, content=deflated, headers={"content-encoding": "deflate"}).status_code == 200


def test_a_small_body_that_unpacks_to_a_large_one_is_refused(client: httpx.Client) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    response = client.post(LINEAR, content=bomb, headers={"content-encoding": "gzip"})
    assert response.status_code == 413


@pytest.mark.parametrize("body", [b"\x1f\x8b", b"no gzip", PACKED[:-1], PACKED + b"x", b""])
def test_a_body_that_is_not_compressed_as_it_says_is_refused(client: httpx.Client, body: bytes) -> None:
    response = client.post(LINEAR, content=body, headers={"content-encoding": "gzip"})
    assert response.status_code == 400
    assert "compressed body" in error_of(response)


def test_an_unknown_compression_is_refused(client: httpx.Client) -> None:
    response = client.post(LINEAR, content=b"{}", headers={"content-encoding": "br"})
    assert response.status_code == 415
    assert "'br' is not served; use gzip, deflate or none" in error_of(response)


def test_an_answer_json_cannot_carry_is_an_error_and_not_null(client: httpx.Client) -> None:
    sent = {"inputs": [tensor(name=name, shape=[1, 2], data=[0, 1]) for name in ("a", "b")]}
    response = client.post("/v2/models/pair/infer", json=sent)
    assert response.status_code == 422
    assert "'inverse'" in error_of(response)
    finite = sent | {"outputs": [{"name": "sum"}]}
    assert client.post("/v2/models/pair/infer", json=finite).status_code == 200


def test_inputs_the_model_itself_refuses_are_an_error_of_that_request_alone(client: httpx.Client) -> None:
    one, two = tensor(name="a", shape=[2, 2], data=[1] * 4), tensor(name="b", shape=[3, 2], data=[1] * 6)
    response = client.post("/v2/models/pair/infer", json={"inputs": [one, two]})
    assert response.status_code == 500
    assert "could not be run" in error_of(response)
    assert client.post(LINEAR, json=request()).status_code == 200


def test_concurrent_clients_each_get_their_own_answer(server: Server) -> None:
    def ask(first: int) -> bool:
        with server.client() as client:
            for at in range(20):
                sample = [float(first), float(at), 1.0, -1.0]
                answer = client.post(LINEAR, json=request(data=sample)).json()
                expected = np.array([sample], np.float32) @ WEIGHTS + BIAS
                if not np.allclose(answer["outputs"][0]["data"], expected[0], rtol=1e-5):
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [True] * 8


def test_a_large_batch_is_answered_whole(client: httpx.Client) -> None:
    rows = np.random.default_rng(7).integers(-9, 9, (2000, 4)).astype(np.float32)
    answer = client.post(LINEAR, json=request(shape=[2000, 4], data=rows.ravel().tolist())).json()
    got = np.array(answer["outputs"][0]["data"]).reshape(2000, 3)
    np.testing.assert_allclose(got, rows @ WEIGHTS + BIAS, rtol=1e-4, atol=1e-5)
