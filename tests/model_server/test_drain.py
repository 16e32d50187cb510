"""The drain: not ready at once, nothing in flight lost, exit code 0."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.model_server.running import ROOT, Server, environment, running, start, write_linear

pytestmark = pytest.mark.usefixtures("both_ways")

COUNTING = "/v2/models/counting/infer"
FOREVER = 10**12


def counting(times: int) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "times", "datatype": "INT64", "shape": [1], "data": [times]},
            {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0]},
        ]
    }


def ask(server: Server, times: int) -> httpx.Response:
    with server.client() as client:
        return client.post(COUNTING, json=counting(times))


def wait_for_inflight(client: httpx.Client, count: int) -> None:
    while f"modelstack_inflight {count}.0" not in client.get("/metrics").text:
        time.sleep(0.01)


def times_for_about(seconds: float, server: Server) -> int:
    """Return how often to count so that an answer takes about `seconds` on this machine."""
    trial = 100_000
    begun = time.monotonic()
    ask(server, trial).raise_for_status()
    return int(trial * seconds / (time.monotonic() - begun))


def test_a_request_in_flight_at_sigterm_is_answered_and_the_exit_code_is_0(models: Path) -> None:
    with running(models) as server, ThreadPoolExecutor(2) as pool, server.client() as probe:
        times = times_for_about(1.5, server)
        answers = [pool.submit(ask, server, times) for _ in range(2)]
        wait_for_inflight(probe, 2)
        assert server.stop() == 0
        for answer in answers:
            assert answer.result().status_code == 200
            assert answer.result().json()["outputs"][0]["data"] == [min(times, 2**24)]


def test_a_request_whose_body_is_still_arriving_at_sigterm_is_answered(models: Path) -> None:
    body = httpx.Request("POST", "http://host/", json=counting(3)).content
    head = f"POST {COUNTING} HTTP/1.1\r\nHost: host\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with running(models) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + body[:10])
            with server.client() as probe:
                probe.get("/v2/health/live")
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(body[10:])
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0


def test_the_server_is_live_and_answers_but_is_not_ready_while_it_drains(models: Path) -> None:
    with running(models, MODELSTACK_DRAIN_SECONDS="600") as server, server.client() as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
        server.process.send_signal(signal.SIGTERM)
        # The signal is delivered before the next request that this process can send is read.
        while client.get("/v2/health/ready").status_code == 200:
            pass
        assert client.get("/v2/health/ready").json() == {"ready": False}
        assert client.get("/v2/models/linear/ready").status_code == 503
        assert client.get("/v2/health/live").status_code == 200
        late = ask(server, 3)
        assert late.status_code == 200
        assert late.headers["connection"] == "close"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


def test_a_server_without_requests_ends_with_0_on_an_interrupt(models: Path) -> None:
    with running(models) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert server.wait_for("stopped")["level"] == "info"


def test_sigterm_before_the_models_are_loaded_ends_with_0(models: Path) -> None:
    with running(models, ready=False) as server:
        assert server.stop() == 0


STRUCK = """
import os, signal, uvicorn

made = uvicorn.Config.get_loop_factory

def struck(config):
    def loop():
        found = made(config)()
        found.call_soon(os.kill, os.getpid(), signal.SIGTERM)
        return found
    return loop

uvicorn.Config.get_loop_factory = struck
from model_server.__main__ import main
raise SystemExit(main())
"""


def test_sigterm_in_the_first_turn_of_the_event_loop_ends_with_0(tmp_path: Path) -> None:
    write_linear(tmp_path)
    command = [sys.executable, "-W", "error", "-c", STRUCK]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"stopped"' in done.stdout


def test_sigterm_before_the_server_listens_ends_with_0(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "models" / "slow").mkdir(parents=True)
    (tmp_path / "models" / "slow" / "model.json").symlink_to(pipe)
    server = start(tmp_path / "models")
    try:
        with pipe.open("wb"):  # opens once the server reads the contract
            server.process.send_signal(signal.SIGTERM)
            # The contract ends after the signal: one that comes just before a read starts does not interrupt the read.
        assert server.process.wait(60) == 0
    finally:
        server.process.kill()
        server.process.wait()
    assert server.lines == []


def test_an_answer_that_takes_longer_than_the_deadline_is_given_up(models: Path) -> None:
    with running(models, MODELSTACK_DEADLINE_SECONDS="0.5") as server, server.client() as probe:
        response = ask(server, FOREVER)
        assert response.status_code == 504
        assert "0.5 s (MODELSTACK_DEADLINE_SECONDS)" in response.json()["error"]
        wait_for_inflight(probe, 0)  # the run was stopped, not left to compute
        assert ask(server, 3).status_code == 200
        assert server.stop() == 0


def test_a_body_that_does_not_arrive_in_time_is_given_up(models: Path) -> None:
    with running(models, MODELSTACK_DEADLINE_SECONDS="0.5") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(f"POST {COUNTING} HTTP/1.1\r\nHost: host\r\nContent-Length: 9\r\n\r\n{{".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_more_requests_than_places_are_told_to_come_back(models: Path) -> None:
    serving = running(models, MODELSTACK_MAX_INFLIGHT="2", MODELSTACK_DEADLINE_SECONDS="600")
    with serving as server, ThreadPoolExecutor(2) as pool, server.client() as probe:
        times = times_for_about(2.0, server)
        taken = [pool.submit(ask, server, times) for _ in range(2)]
        wait_for_inflight(probe, 2)
        refused = ask(server, 3)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "2 requests are already in flight" in refused.json()["error"]
        assert [one.result().status_code for one in taken] == [200, 200]
        assert ask(server, 3).status_code == 200
