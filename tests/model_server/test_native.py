"""The native front beside Python: connections, places, the drain, and whether it is there at all."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.model_server.running import Server, running, write_linear
from tests.model_server.test_connections import connect, post
from tests.model_server.test_drain import counting, times_for_about, wait_for_inflight
from tests.model_server.test_infer import LINEAR, request
from tests.model_server.test_start import refused


def test_a_thousand_idle_connections_are_held_and_answered(models: Path, native_settings: dict[str, str]) -> None:
    with running(models, given=native_settings) as server, ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(1000)]
        for connection in [*idle[:2], *idle[-2:]]:
            answered(connection)
        with server.client() as client:
            assert client.post(LINEAR, json=request()).status_code == 200


def answered(connection: socket.socket) -> None:
    connection.sendall(post())
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_places_are_shared_by_both_ways(models: Path, native_settings: dict[str, str]) -> None:
    serving = running(models, MODELSTACK_MAX_INFLIGHT="1", MODELSTACK_DEADLINE_SECONDS="600", given=native_settings)
    with serving as server, ThreadPoolExecutor(1) as pool, server.client() as client:
        slow = counting(times_for_about(2.0, server))
        taken = pool.submit(
            httpx.post, server.url + "/v2/models/counting/infer", json=slow, timeout=60, trust_env=False
        )
        wait_for_inflight(client, 1)
        refused = client.post(LINEAR, json=request())
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert taken.result().status_code == 200
        assert client.post(LINEAR, json=request()).status_code == 200


def test_an_open_connection_is_answered_and_closed_while_the_server_drains(
    models: Path, native_settings: dict[str, str]
) -> None:
    with (
        running(models, MODELSTACK_DRAIN_SECONDS="600", given=native_settings) as server,
        connect(server) as connection,
    ):
        answered(connection)
        server.process.terminate()
        with server.client() as client:
            while client.get("/v2/health/ready").status_code == 200:
                pass
        connection.sendall(post())
        answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        server.process.terminate()
        assert server.process.wait(30) == 0


def test_each_request_is_told_where_the_log_tells_of_each(models: Path, native_settings: dict[str, str]) -> None:
    with running(models, MODELSTACK_LOG_LEVEL="DEBUG", given=native_settings) as server, server.client() as client:
        client.post(LINEAR, json=request())
        assert server.wait_for("infer")["code"] == 200


def test_without_the_module_a_server_that_must_have_it_does_not_start(models: Path) -> None:
    error = refused(models, MODELSTACK_NATIVE="1")
    assert error.startswith("MODELSTACK_NATIVE: '1', but modelstack_native cannot be imported")


@pytest.mark.parametrize("wanted", ["auto", "0"])
def test_without_the_module_python_serves(tmp_path: Path, wanted: str) -> None:
    write_linear(tmp_path)
    with running(tmp_path, MODELSTACK_NATIVE=wanted) as server:
        assert server.wait_for("listening")["native"] is False


def test_the_module_is_used_where_it_is_found(tmp_path: Path, native_settings: dict[str, str]) -> None:
    write_linear(tmp_path)
    found = native_settings | {"MODELSTACK_NATIVE": "auto"}
    with running(tmp_path, given=found) as server:
        assert server.wait_for("listening")["native"] is True


def test_a_port_that_is_taken_is_one_line(server: Server, models: Path, native_settings: dict[str, str]) -> None:
    port = server.url.rpartition(":")[2]
    error = refused(models, MODELSTACK_PORT=port, **native_settings)
    assert error.startswith(f"MODELSTACK_PORT: {port} on 127.0.0.1 cannot be bound (")
