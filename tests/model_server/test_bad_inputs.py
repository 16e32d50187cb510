"""Whatever comes, a decoder refuses it as the client's error or takes it: never another exception, never a crash."""

import contextlib
import http.client
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_build import wheels
from model_server.contract import ModelContract
from model_server.errors import RequestError
from model_server.grpc_bodies import parse_message, response_message
from model_server.messages import Messages
from model_server.protocol import InferRequest, infer_response, parse_infer
from model_server.repository import discover
from model_server.tensors import NUMPY_TYPES, Array
from tests.model_server.bad_inputs import BYTES, DECODED, TENSORS, bad
from tests.model_server.conftest import SAMPLES
from tests.model_server.running import ROOT, Server, running, write_identity, write_linear, write_pair
from tests.model_server.test_text import write_text
from tests.processes import resident

MESSAGES = Messages()
MANY = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
SOAKED = 100_000
GUIDED = 3_000_000
CLIENTS = 4
ATHERIS = Path(__file__).with_name("atheris")
MOST_GROWTH = 64 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_linear(root)
    write_pair(root)
    write_text(root)
    for datatype in ("INT8", "BOOL"):
        write_identity(root, datatype, SAMPLES[datatype])
    return root


@pytest.fixture(scope="module")
def contracts(folder: Path) -> dict[str, ModelContract]:
    return {one.name: one for one in discover(folder).contracts}


@MANY
@given(random=st.randoms(use_true_random=False))
def test_bad_requests_are_the_clients_error(contracts: dict[str, ModelContract], random: Random) -> None:
    _decode(contracts, random)


def test_ten_thousand_bad_requests_are_the_clients_error(contracts: dict[str, ModelContract]) -> None:
    outcomes = Counter(_decode(contracts, Random(seed)) for seed in range(10_000))  # noqa: S311
    assert outcomes["refused"] > 5_000
    assert outcomes["taken"] > 500


def _decode(contracts: dict[str, ModelContract], random: Random) -> str:
    """Decode the next request; another exception than the client's error fails, as does an array of another kind."""
    made = random.choice(DECODED)(random, random.choice(list(TENSORS)))
    contract = contracts[made.model]
    request = _outcome(partial(parse_infer, contract, made.body, made.header_length))
    if request is None:
        return "refused"
    for spec in contract.inputs:
        array = request.inputs[spec.name]
        assert array.dtype == NUMPY_TYPES[spec.datatype]
        assert all(want in (-1, got) for want, got in zip(spec.shape, array.shape, strict=True))
    infer_response(contract, request, _answers(request))
    return "taken"


@MANY
@given(raw=st.binary(max_size=300), torn=st.data())
def test_bad_messages_are_the_clients_error(
    contracts: dict[str, ModelContract], raw: bytes, torn: st.DataObject
) -> None:
    model = torn.draw(st.sampled_from(sorted(TENSORS)))
    message = MESSAGES["ModelInferRequest"]()
    try:
        message.MergeFromString(raw)
    except DecodeError:
        message.Clear()
    for tensor in torn.draw(st.sampled_from([TENSORS[model], []])):
        shape = torn.draw(st.sampled_from([tensor["shape"], [0], [-1], [2**62, 2**62]]))
        message.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=shape)
    message.raw_input_contents.extend(torn.draw(st.lists(st.sampled_from([BYTES[model], b"", raw]), max_size=2)))
    request = _outcome(partial(parse_message, contracts[model], message))
    if request is not None:
        response_message(MESSAGES, contracts[model], message, request, _answers(request))


def _outcome(parse: Callable[[], InferRequest]) -> InferRequest | None:
    """Return the request, or None where it was refused as the client's error, in a line that can be read."""
    try:
        return parse()
    except RequestError as error:
        refused = error
    assert refused.status == 400
    assert refused.message.isprintable()
    return None


def _answers(request: InferRequest) -> list[Array]:
    shapes = [(spec, [max(size, 1) for size in spec.shape]) for spec in request.outputs]
    return [np.zeros(shape, NUMPY_TYPES[spec.datatype]) for spec, shape in shapes]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_no_input_that_reaches_more_of_the_decoders_breaks_them(
    contracts: dict[str, ModelContract], folder: Path, tmp_path: Path
) -> None:
    packages, corpus = tmp_path / "atheris", tmp_path / "corpus"
    fault = wheels.lay_out(ATHERIS / "requirements.txt", packages)
    assert not fault, fault
    corpus.mkdir()
    for seed in range(500):
        (corpus / str(seed)).write_bytes(_corpus(sorted(contracts), Random(seed)))  # noqa: S311
    done = subprocess.run(
        [sys.executable, ATHERIS / "decoders.py", folder, f"-atheris_runs={GUIDED}", "-max_len=600", corpus],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (packages, ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()
    assert done.returncode == 0, "\n".join(said[-40:])
    assert f"Done {GUIDED}" in done.stderr
    print("\n", next(line for line in reversed(said) if " cov: " in line))


def _corpus(names: list[str], random: Random) -> bytes:
    """Return a bad request as atheris' own inputs are read."""
    made = random.choice(DECODED)(random, random.choice(names))
    length = 0xFFFF if made.header_length is None else made.header_length
    return bytes([2 * names.index(made.model) + 1]) + length.to_bytes(2, "little") + made.body


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with running(folder, MODELSTACK_MAX_BODY_BYTES="100000") as server:
        yield server


class Client(threading.Thread):
    """Sends bad requests of a seed until `wanted` of them were refused, and counts the statuses."""

    def __init__(self, server: Server, seed: int, wanted: int) -> None:
        super().__init__()
        self.statuses: Counter[int] = Counter()
        self._connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
        self._random = Random(seed)  # noqa: S311 - the same requests again
        self._wanted = wanted

    def run(self) -> None:
        with contextlib.closing(self._connection):
            self._send()

    def _send(self) -> None:
        while self.statuses.total() - self.statuses[200] < self._wanted:
            made = bad(self._random)
            self._connection.request("POST", f"/v2/models/{made.model}/infer", made.body, made.headers)
            response = self._connection.getresponse()
            response.read()
            self.statuses[response.status] += 1


def send(server: Server, count: int, seed: int) -> Counter[int]:
    """Send `count` bad requests from several clients at once, and return how often each status came."""
    clients = [Client(server, seed * CLIENTS + number, count // CLIENTS) for number in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return sum((one.statuses for one in clients), Counter())


def still_well(server: Server) -> bool:
    with server.client() as client:
        sent = {"inputs": TENSORS["linear"]}
        well = client.post("/v2/models/linear/infer", json=sent).status_code == 200
        return well and client.get("/v2/health/ready").status_code == 200 and server.process.poll() is None


def test_a_server_that_was_sent_bad_requests_is_well(server: Server) -> None:
    found = send(server, 2000, seed=1)
    assert set(found) <= {200, 400, 422}, found
    assert found.total() - found[200] >= 2000
    assert still_well(server)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_server_that_was_sent_a_hundred_thousand_bad_requests_is_well(server: Server) -> None:
    send(server, SOAKED // 10, seed=2)
    before = resident(server.process.pid)
    found = send(server, SOAKED, seed=3)
    grown = resident(server.process.pid) - before
    print(f"\n{SOAKED} bad requests to one process: {dict(sorted(found.items()))}, {grown / 2**20:+.1f} MiB")
    assert set(found) <= {200, 400, 422}, found
    assert found.total() - found[200] >= SOAKED
    assert grown < MOST_GROWTH
    assert still_well(server)
