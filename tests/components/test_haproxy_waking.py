"""What a real HAProxy does for a model that may have no pod: a request wakes it, and waits for the first one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
import urllib3

from components.haproxy import Route
from settings import GatewaySettings
from tests.components.backends import serving
from tests.components.gateways import INFER, Gateway, Start, answered_by, error_of, pods, pods_up, port, route, start
from tests.waiting import until

pytestmark = pytest.mark.e2e
__all__ = ["port", "start"]  # fixtures of the tests below

SERVICE = {"digits.test": ["127.0.0.1"]}
STATES = {
    f'haproxy_server_status{{proxy="digits.{version}",server="service",state="{state}"}} 1'
    for version, state in {"waking": "UP", "stable": "DOWN", "stable.large": "DOWN"}.items()
}
Sleeping = Callable[..., Gateway]


@pytest.fixture
def sleeping(start: Start, port: int) -> Sleeping:
    """Start a gateway before a model that has a Service and no pod, and before these others."""

    def made(settings: GatewaySettings | None = None, *others: Route, awaited: int = 0, **found: list[str]) -> Gateway:
        target = replace(route("digits", port).targets["stable"], otherwise="digits.test", to_zero=True)
        asleep = Route(model="digits", protocol="open-inference-v2", targets={"stable": target})
        gateway = start({}, settings, [asleep, *others], awaited=awaited, names=SERVICE | found)
        until(lambda: set(series(gateway).decode().splitlines()) >= STATES, "HAProxy knows of the Service and no pod")
        return gateway

    return made


def series(gateway: Gateway) -> bytes:
    return urllib3.request("GET", f"{gateway.metrics}/metrics").data


def told(gateway: Gateway, name: str) -> float:
    """Return what one series says of all that a model was asked."""
    lines = [line for line in series(gateway).decode().splitlines() if line.startswith(f'{name}{{proxy="digits.')]
    assert lines
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_requests_wait_for_the_first_pod_and_all_are_answered(sleeping: Sleeping, port: int) -> None:
    # Shorter than the wait: it is the time of a pod, and begins with one. Two at once, and the others after them.
    gateway = sleeping(GatewaySettings(answer_seconds=1, per_pod=2, queue_seconds=1))
    (pod,) = pods("127.0.0.1")
    with ThreadPoolExecutor(5) as clients:
        waiting = [clients.submit(gateway.ask, INFER, b"{}") for _ in range(5)]
        until(lambda: told(gateway, "haproxy_backend_current_sessions") == 5, "the gateway holds the requests")
        until(lambda: told(gateway, "haproxy_backend_retry_warnings_total") >= 6, "each was tried again, for seconds")
        with serving(pod, port):
            assert {answered_by(one.result()) for one in waiting} == {"127.0.0.1"}
    assert len(pod.asked) == 5


def test_a_large_request_is_answered_from_when_a_pod_is_known_for_small_ones_alone(
    sleeping: Sleeping, port: int
) -> None:
    gateway, answers = sleeping(), []
    with serving(pods("127.0.0.1")[0], port):
        while pods_up(gateway) != 1:
            answers.append(gateway.ask(INFER, b" " * 200_000).status)
    assert set(answers) == {200}


def test_what_wakes_a_model_is_told_while_nobody_has_answered(sleeping: Sleeping, port: int) -> None:
    gateway = sleeping()
    assert told(gateway, "haproxy_backend_sessions_total") == 0
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(gateway.ask, INFER, b"{}")
        until(lambda: told(gateway, "haproxy_backend_sessions_total") == 1, "the request is counted")
        with serving(pods("127.0.0.1")[0], port):
            waiting.result()
    until(lambda: told(gateway, "haproxy_backend_current_sessions") == 0, "nobody waits")


def test_where_no_pod_comes_in_time_the_client_is_told_to_come_back(sleeping: Sleeping) -> None:
    began = time.monotonic()
    answer = sleeping(GatewaySettings(wake_seconds=4)).ask(INFER, b"{}")
    # A try takes no time here: it is a second between two of them that lasts.
    assert time.monotonic() - began > 3
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert error_of(answer) == "no pod of the model is free; try again"


def test_a_client_that_goes_is_no_longer_waited_for(sleeping: Sleeping) -> None:
    gateway = sleeping()
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        urllib3.request("POST", f"{gateway.url}{INFER}", body=b"{}", timeout=0.5, retries=False)
    until(lambda: told(gateway, "haproxy_backend_current_sessions") == 0, "nobody waits")


def test_a_model_that_sleeps_does_not_keep_the_gateway_from_being_ready(sleeping: Sleeping) -> None:
    gateway = sleeping()
    assert gateway.ask("/v2/health/ready").status == 200
    assert urllib3.request("GET", f"{gateway.metrics}/ready").status == 200


def test_beside_a_model_that_sleeps_the_others_are_waited_for(sleeping: Sleeping, port: int) -> None:
    names = {"mnist-stable.test": ["127.0.0.2"]}
    gateway = sleeping(None, route("mnist", port), **names)
    answer = gateway.ask("/v2/health/ready")
    assert (answer.status, error_of(answer)) == (503, "model mnist has no pod that is ready")
    assert urllib3.request("GET", f"{gateway.metrics}/ready", retries=False).status == 503
    with serving(pods("127.0.0.2")[0], port):
        until(lambda: gateway.ask("/v2/health/ready").status == 200, "the gateway is ready")
        assert urllib3.request("GET", f"{gateway.metrics}/ready").status == 200


def test_requests_that_wait_for_a_pod_leave_connections_to_other_models(sleeping: Sleeping, port: int) -> None:
    names = {"mnist-stable.test": ["127.0.0.2"]}
    # Of 20 connections ten may wait, of five backends two each.
    settings = GatewaySettings(connections=20)
    with serving(pods("127.0.0.2")[0], port), ExitStack() as clients:
        gateway = sleeping(settings, route("mnist", port), awaited=1, **names)
        host, at = gateway.url.rpartition("/")[2].split(":")
        sent = f"POST {INFER} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}".encode()
        for _ in range(settings.connections):
            clients.enter_context(socket.create_connection((host, int(at)))).sendall(sent)
        until(lambda: told(gateway, "haproxy_backend_current_sessions") == 2, "two wait")
        assert answered_by(gateway.ask("/v2/models/mnist/infer", b"{}")) == "127.0.0.2"
        refused = gateway.ask(INFER, b"{}")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert error_of(refused) == "too many requests wait for a pod of the model; try again"
