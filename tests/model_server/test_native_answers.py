"""The native front: it answers as Python does, or leaves the answer to Python."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model_server.conftest import SAMPLES
from tests.model_server.running import running
from tests.model_server.test_binary import LENGTH, told
from tests.model_server.test_infer import LINEAR, request, tensor

PAIR = "/v2/models/pair/infer"


class Both:
    """A server with the native front and one without it, on the same models."""

    def __init__(self, native: httpx.Client, python: httpx.Client) -> None:
        self.native = native
        self.python = python

    def answered_natively(self) -> int:
        lines = self.native.get("/metrics").text.splitlines()
        return sum(int(float(one.split()[-1])) for one in lines if one.startswith("modelstack_native_requests_total"))

    def ask(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        """Return the answer, which is the same from both."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answers = [one.post(path, content=body, headers=sent) for one in (self.native, self.python)]
        require_same(*answers)
        return answers[0]


def require_same(native: httpx.Response, python: httpx.Response) -> None:
    """Require the same status, headers, keys in the same order, and values; a number may be spelled otherwise."""
    assert native.status_code == python.status_code
    assert kept(native) == kept(python)
    ends = [int(one.headers.get(LENGTH, len(one.content))) for one in (native, python)]
    documents = [json.loads(one.content[:end]) for one, end in zip((native, python), ends, strict=True)]
    assert json.dumps(documents[0]) == json.dumps(documents[1])
    assert native.content[ends[0] :] == python.content[ends[1] :]


def kept(response: httpx.Response) -> set[str]:
    lengths = {"date", "content-length", LENGTH}
    return {f"{name}: {value}" for name, value in response.headers.items() if name not in lengths}


@pytest.fixture(scope="module")
def both(models: Path, native_settings: dict[str, str]) -> Iterator[Both]:
    with (
        running(models, given=native_settings) as native,
        running(models) as python,
        native.client() as first,
        python.client() as second,
    ):
        yield Both(first, second)


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


NUMBERS = st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1))
WIDE = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70))
ODD = st.one_of(WIDE, st.booleans(), st.none(), st.text(max_size=3), st.lists(NUMBERS, max_size=2))
IDS = st.one_of(st.none(), st.text(max_size=4), st.text("abc-", max_size=4), st.integers())
SWITCHES = st.sampled_from(
    [{}, {"binary_data": True}, {"binary_data": False}, {"binary_data": 1}, {"other": "x"}, None]
)
OUTPUTS = st.lists(
    st.builds(
        lambda name, switch: {"name": name, "parameters": switch}, st.sampled_from(["sum", "inverse", "z"]), SWITCHES
    ),
    max_size=3,
)


@st.composite
def inputs(draw: st.DrawFn, name: str, rows: int) -> dict[str, Any]:
    """Draw an input of `pair`, most often a sound one."""
    sound = draw(st.integers(0, 9)) > 0
    data: list[Any] = draw(st.lists(NUMBERS if sound else ODD, min_size=2 * rows, max_size=2 * rows + (not sound)))
    if draw(st.booleans()):
        data = [data[at : at + 2] for at in range(0, len(data), 2)]
    shape = [rows, 2] if sound else draw(st.lists(st.integers(-1, 4), max_size=3))
    document = {"name": name, "datatype": "FP32" if sound else "FP64", "shape": shape, "data": data}
    return dict(draw(st.permutations(list(document.items()))))


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a request to `pair`, most often a sound one."""
    rows = draw(st.integers(1, 3))
    document: dict[str, Any] = {"inputs": [draw(inputs("a", rows)), draw(inputs("b", rows))]}
    for key, values in (("id", IDS), ("outputs", OUTPUTS), ("parameters", SWITCHES), ("extra", ODD)):
        if draw(st.integers(0, 7)) == 0:
            document[key] = draw(values)
    return document


def test_both_ways_give_the_same_answer_to_anything(both: Both) -> None:
    before, asked = both.answered_natively(), []

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(requests())
    def ask(document: dict[str, Any]) -> None:
        asked.append(both.ask(PAIR, encoded(document)).status_code)

    ask()
    assert {200, 400} <= set(asked)
    assert both.answered_natively() > before


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=60), at=st.integers(0, 300))
def test_bytes_of_any_kind_get_the_same_answer(raw: bytes, at: int, both: Both) -> None:
    sound = encoded(request(data=[0.5, 1, -2e-3, 3]))
    both.ask(LINEAR, raw)
    both.ask(LINEAR, sound[:at] + raw + sound[at:])


@pytest.mark.parametrize("datatype", [one for one in SAMPLES if one != "FP16"])
def test_every_datatype_is_answered_natively_as_json_and_as_bytes(both: Both, datatype: str) -> None:
    path = f"/v2/models/identity-{datatype.lower()}/infer"
    raw, before = SAMPLES[datatype].tobytes(), both.answered_natively()
    values = SAMPLES[datatype].tolist()
    as_json = {"name": "x", "datatype": datatype, "shape": [1, 2], "data": values}
    as_bytes = told("x", datatype, [1, 2], len(raw))
    header = encoded({"inputs": [as_bytes], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]})
    assert both.ask(path, encoded({"inputs": [as_json]})).status_code == 200
    answer = both.ask(path, header + raw, inference_header_content_length=str(len(header)))
    assert answer.content.endswith(raw)
    assert both.answered_natively() == before + 2


# Requests with something about them that the native front leaves to Python.
LEFT = {
    "an unknown key": encoded(request() | {"priority": 1}),
    "a key twice": encoded(request())[:-1] + b', "inputs": []}',
    "an escape in a name": encoded(request()).replace(b'"x"', b'"\\u0078"'),
    "half a surrogate pair": encoded(request() | {"id": "\ud800"}),
    "a list in place of an object": encoded([None, None, request()["inputs"], None]),
    "a number that is none": encoded(request()).replace(b"3.5", b"NaN"),
    "a number beyond a double": encoded(request()).replace(b"3.5", b"1e999"),
    "a number beyond its datatype": encoded(request(data=[1, 2, 3, 1e39])),
    "a truth for a number": encoded(request(data=[1, 2, 3, True])),
    "uneven lists": encoded(request(shape=[2, 4], data=[[1, 2, 3, 4], [1, 2, 3]])),
    "numbers beside lists": encoded(request(data=[1, 2, 3, [4]])),
    "an empty list": encoded(request(shape=[0, 4], data=[])),
    "deep nesting": b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}",
    "data and bytes": encoded({"inputs": [tensor(parameters={"binary_data_size": 0})]}),
    "a mark of its encoding": b"\xef\xbb\xbf" + encoded(request()),
    "a long id": encoded(request() | {"id": "a" * 257}),
    "something after the end": encoded(request()) + b"x",
    "nothing": b"",
    "a long body": encoded(request(shape=[9000, 4], data=[0] * 36000)),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_not_plain_is_left_to_python(both: Both, what: str) -> None:
    before = both.answered_natively()
    both.ask(LINEAR, LEFT[what])
    assert both.answered_natively() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"content_encoding": "gzip"},
        {"content_encoding": "br"},
        {"inference_header_content_length": "0"},
        {"inference_header_content_length": "9999"},
        {"inference_header_content_length": "x"},
    ],
)
def test_headers_that_ask_for_more_are_left_to_python(both: Both, headers: dict[str, str]) -> None:
    before, body = both.answered_natively(), encoded(request())
    both.ask(LINEAR, gzip.compress(body) if "gzip" in headers.values() else body, **headers)
    assert both.answered_natively() == before


def test_other_paths_and_methods_are_pythons(both: Both) -> None:
    for method, path in (
        ("GET", LINEAR),
        ("PUT", LINEAR),
        ("HEAD", "/v2"),
        ("GET", "/v2/models/linear"),
        ("GET", "/no"),
    ):
        answers = [one.request(method, path) for one in (both.native, both.python)]
        assert (answers[0].status_code, answers[0].content) == (answers[1].status_code, answers[1].content)
        assert kept(answers[0]) == kept(answers[1])


def test_a_value_that_json_cannot_carry_is_refused_by_python_and_goes_out_as_bytes(both: Both) -> None:
    ones, zeros = tensor(name="a", shape=[1, 2], data=[1, 1]), tensor(name="b", shape=[1, 2], data=[0, 0])
    assert both.ask(PAIR, encoded({"inputs": [ones, zeros]})).status_code == 422
    before = both.answered_natively()
    answer = both.ask(PAIR, encoded({"inputs": [ones, zeros], "parameters": {"binary_data_output": True}}))
    assert np.isinf(np.frombuffer(answer.content[-8:], np.float32)).all()
    assert both.answered_natively() == before + 1


def test_a_run_that_fails_fails_for_that_request_alone(both: Both) -> None:
    def ask(value: int) -> httpx.Response:
        sent = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1, 1], "data": [value]}]}
        return both.native.post("/v2/models/lookup/infer", json=sent)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [0, 1, 2, 7] * 25))
    assert [one.status_code for one in answers] == [200, 200, 200, 500] * 25
    assert [one.json()["outputs"][0]["data"] for one in answers if one.status_code == 200] == [[10], [20], [30]] * 25
    assert "could not be run" in answers[3].json()["error"]


def test_many_at_once_each_get_their_own_answer(both: Both) -> None:
    def ask(at: int) -> list[float]:
        values = [float(at), 2, 0.5, -at]
        answer = both.native.post("/v2/models/pair/infer", json=pair(values)).json()
        found: list[float] = answer["outputs"][0]["data"]
        return found

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(400)))
    assert found == [[at + 0.5, 2.0 - at] for at in range(400)]


def pair(values: list[float]) -> dict[str, Any]:
    a, b = tensor(name="a", shape=[1, 2], data=values[:2]), tensor(name="b", shape=[1, 2], data=values[2:])
    return {"inputs": [a, b], "outputs": [{"name": "sum"}]}
