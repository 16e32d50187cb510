"""Connections: requests sent ahead, cut short, trickling or odd; each answered in its order or not at all."""

import json
import re
import socket
import time
from pathlib import Path

import pytest

from tests.model_server.running import Server, running
from tests.model_server.test_infer import LINEAR, request

BODY = json.dumps(request()).encode()


def post(path: str = LINEAR, body: bytes = BODY, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: host", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


GET = b"GET /v2/health/live HTTP/1.1\r\nHost: host\r\n\r\n"


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def exchange(server: Server, sent: bytes, *, close: bool = True) -> list[bytes]:
    """Send `sent`, with a last request that closes, and return the answers."""
    last = b"GET /v2 HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n" if close else b""
    with connect(server) as connection:
        connection.sendall(sent + last)
        read = connection.makefile("rb").read()
    answers = re.split(rb"HTTP/1\.[01] (?=\d{3} )", read)[1:]
    return answers[:-1] if close else answers


def test_requests_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    sent = [post(body=json.dumps(request() | {"id": str(at)}).encode()) for at in range(20)]
    answers = exchange(server, b"".join(sent))
    assert [json.loads(one.split(b"\r\n\r\n")[1])["id"] for one in answers] == [str(at) for at in range(20)]


def test_inference_and_other_requests_sent_ahead_keep_their_order(server: Server) -> None:
    answers = exchange(server, post() + GET + post("/v2/models/nobody/infer") + post() + GET)
    assert [one[:3] for one in answers] == [b"200", b"200", b"404", b"200", b"200"]
    assert [b"outputs" in one for one in answers] == [True, False, False, True, False]


def test_a_request_may_arrive_byte_by_byte(server: Server) -> None:
    with connect(server) as connection:
        for at in range(0, len(post()), 7):
            connection.sendall(post()[at : at + 7])
            time.sleep(0.001)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_body_in_chunks_is_answered(server: Server) -> None:
    half = len(BODY) // 2
    head = f"POST {LINEAR} HTTP/1.1\r\nHost: host\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    parts = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (BODY[:half], BODY[half:], b""))
    (answer,) = exchange(server, head + parts)
    assert answer.startswith(b"200")


def test_a_client_that_waits_to_be_told_to_go_on_is(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(post(LINEAR, BODY, "Expect: 100-continue")[: -len(BODY)])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_client_of_http_1_0_is_answered_and_the_connection_ends(server: Server) -> None:
    (answer,) = exchange(server, post().replace(b"HTTP/1.1", b"HTTP/1.0"), close=False)
    assert answer.startswith(b"200")


def test_a_client_that_asks_for_the_end_gets_it(server: Server) -> None:
    (answer,) = exchange(server, post(LINEAR, BODY, "Connection: close") + post(), close=False)
    assert b"connection: close" in answer


def test_every_answer_has_a_date_and_a_length(server: Server) -> None:
    for answer in exchange(server, post() + GET + post(body=b"{")):
        head = answer.split(b"\r\n\r\n")[0].lower()
        assert b"\r\ndate: " in head
        assert b"\r\ncontent-length: " in head


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        post().replace(b"Content-Length: ", b"Content-Length: -"),
        post(LINEAR, BODY, "Content-Length: 3"),
        post(LINEAR, BODY, "Transfer-Encoding: chunked"),
    ],
)
def test_what_is_no_http_is_refused_and_the_server_goes_on(server: Server, sent: bytes) -> None:
    (answer, *_) = exchange(server, sent, close=False)
    assert answer.startswith(b"400 ")
    with server.client() as client:
        assert client.get("/v2/health/ready").status_code == 200


@pytest.mark.usefixtures("both_ways")
def test_a_request_whose_headers_do_not_end_is_given_up(models: Path) -> None:
    with running(models, MODELSTACK_DEADLINE_SECONDS="0.3") as server, connect(server) as connection:
        connection.sendall(b"POST /v2 HTTP/1.1\r\nHost: ho")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("both_ways")
def test_a_connection_without_a_request_is_not_given_up_for_that(models: Path) -> None:
    with running(models, MODELSTACK_DEADLINE_SECONDS="0.2") as server, connect(server) as connection:
        time.sleep(0.5)
        connection.sendall(post())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.5)
        connection.sendall(post())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("both_ways")
def test_clients_that_leave_give_their_places_back(models: Path) -> None:
    body = json.dumps(
        {
            "inputs": [
                {"name": "times", "datatype": "INT64", "shape": [1], "data": [10**12]},
                {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0]},
            ]
        }
    ).encode()
    with running(models, MODELSTACK_MAX_INFLIGHT="4", MODELSTACK_DEADLINE_SECONDS="600") as server:
        for _ in range(8):
            with connect(server) as connection:
                connection.sendall(post("/v2/models/counting/infer", body))
                time.sleep(0.1)
        with server.client() as client:
            end = time.monotonic() + 30
            while "modelstack_inflight 0.0" not in client.get("/metrics").text:
                assert time.monotonic() < end
                time.sleep(0.05)
            assert client.post(LINEAR, json=request()).status_code == 200
