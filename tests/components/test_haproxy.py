"""What a real HAProxy does with the rendered configuration: which pod is asked, and which other one when it fails."""

from __future__ import annotations

import json
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import urllib3

from components.haproxy import Route
from settings import GatewaySettings
from tests.components import gateways
from tests.components.gateways import INFER, Start, answered_by, error_of, pods, pods_up, port, route, start
from tests.waiting import until

pytestmark = pytest.mark.e2e
__all__ = ["port", "start"]  # fixtures of the tests below


def test_a_models_requests_reach_each_of_its_pods_and_no_other(start: Start, port: int) -> None:
    digits, mnist = pods("127.0.0.1", "127.0.0.2"), pods("127.0.0.3")
    gateway = start(
        {"digits-stable.test": digits, "mnist-stable.test": mnist}, routes=[route("digits", port), route("mnist", port)]
    )
    answered = Counter(answered_by(gateway.ask(INFER, b"{}")) for _ in range(20))
    assert set(answered) == {"127.0.0.1", "127.0.0.2"}
    assert answered_by(gateway.ask("/v2/models/mnist")) == "127.0.0.3"
    assert [one["path"] for one in mnist[0].asked] == ["/v2/models/mnist"]


def test_a_path_of_no_model_is_a_404_in_json(start: Start) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")})
    for path in ("/v2/models/unknown/infer", "/v2/models/digits-2", "/", "/metrics"):
        answer = gateway.ask(path)
        assert answer.status == 404, path
        assert error_of(answer) == "path: is of no model that is served here"


def test_an_answer_names_the_request_as_the_log_and_the_pod_do(start: Start) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]})
    named = [gateway.ask(path).headers["x-request-id"] for path in (INFER, "/v2/models/unknown")]
    until(lambda: len(gateway.lines()) == 2, "both requests are in the log")
    assert [line["id"] for line in gateway.lines()] == named
    assert len(set(named)) == 2


def test_tensorflow_and_openai_clients_find_their_models(start: Start, port: int) -> None:
    routes = [route("digits", port, protocol="tensorflow-v1"), route("chat", port, protocol="openai-v1")]
    gateway = start({"digits-stable.test": pods("127.0.0.1"), "chat-stable.test": pods("127.0.0.2")}, routes=routes)
    assert answered_by(gateway.ask("/v1/models/digits:predict", b"{}")) == "127.0.0.1"
    body = json.dumps({"messages": [], "model": "chat"}).encode()
    assert answered_by(gateway.ask("/v1/chat/completions", body)) == "127.0.0.2"
    assert gateway.ask("/v1/chat/completions", b'{"model": "other"}').status == 404


def test_the_gateway_is_ready_when_every_model_has_a_pod_that_is(start: Start, port: int) -> None:
    mnist = pods("127.0.0.3")
    gateway = start(
        {"digits-stable.test": pods("127.0.0.1"), "mnist-stable.test": mnist},
        routes=[route("digits", port), route("mnist", port)],
    )
    assert gateway.ask("/v2/health/ready").status == 200
    mnist[0].ready = False
    until(lambda: gateway.ask("/v2/health/ready").status == 503, "the gateway is not ready")
    assert error_of(gateway.ask("/v2/health/ready")) == "model mnist has no pod that is ready"
    assert gateway.ask("/v2/health/live").json() == {"live": True}
    assert urllib3.request("GET", f"{gateway.metrics}/ready").status == 200


def test_a_pod_that_is_not_ready_is_asked_nothing(start: Start) -> None:
    one, other = pods("127.0.0.1", "127.0.0.2")
    gateway = start({"digits-stable.test": [one, other]})
    one.ready = False
    until(lambda: gateways.pods_up(gateway) == 1, "one pod is down")
    assert {answered_by(gateway.ask(INFER, b"{}")) for _ in range(10)} == {"127.0.0.2"}


def test_a_request_that_a_dying_pod_took_is_answered_by_another(start: Start) -> None:
    one, other = pods("127.0.0.1", "127.0.0.2")
    gateway = start({"digits-stable.test": [one, other]})
    one.dies = True
    assert {answered_by(gateway.ask(INFER, b"{}")) for _ in range(4)} == {"127.0.0.2"}
    assert one.asked
    assert any(line["retries"] != "0" for line in gateway.lines())


def test_a_pod_that_says_503_is_passed_over(start: Start) -> None:
    one, other = pods("127.0.0.1", "127.0.0.2")
    gateway = start({"digits-stable.test": [one, other]})
    one.status = 503
    assert {answered_by(gateway.ask(INFER, b"{}")) for _ in range(4)} == {"127.0.0.2"}


def test_errors_in_a_row_take_a_pod_out(start: Start) -> None:
    one, other = pods("127.0.0.1", "127.0.0.2")
    gateway = start({"digits-stable.test": [one, other]})
    one.status = 500

    def is_out() -> bool:
        # In a row: a question for its health in between is answered well.
        for _ in range(40):
            gateway.ask(INFER, b"{}")
        return b" is DOWN, reason: Health analyze" in gateway.log.read_bytes()

    until(is_out, "the pod that fails is out")


def test_a_model_without_a_pod_is_a_503_that_says_when_to_come_back(start: Start) -> None:
    gateway = start({"digits-stable.test": []}, awaited=0)
    answer = gateway.ask(INFER, b"{}")
    assert (error_of(answer), answer.headers["retry-after"]) == ("no pod of the model is free; try again", "1")


def test_what_waits_too_long_for_a_free_pod_is_told_to_come_back(start: Start) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(per_pod=1, queue_seconds=1))
    pod.seconds = 5
    host, port = gateway.url.rpartition("/")[2].split(":")
    with socket.create_connection((host, int(port))) as busy:
        busy.sendall(f"GET {INFER} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        until(lambda: bool(pod.asked), "the pod is busy")
        answer = gateway.ask(INFER, b"{}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_one_pod_of_a_canary_gets_no_more_than_its_weight_and_none_where_it_is_not_ready(
    start: Start, port: int
) -> None:
    stable, canary = pods("127.0.0.1"), pods("127.0.0.2")
    gateway = start(
        {"digits-stable.test": stable, "digits-canary.test": canary},
        routes=[route("digits", port, stable=(), canary=((1, 20),))],
    )
    answered = Counter(answered_by(gateway.ask(INFER, b"{}")) for _ in range(200))
    # Of 200 at 20 %, outside 10…75 once in ten million runs; it is one pod of two.
    assert 10 <= answered["127.0.0.2"] <= 75
    canary[0].ready = False
    until(lambda: gateways.pods_up(gateway) == 1, "the canary is down")
    assert {answered_by(gateway.ask(INFER, b"{}")) for _ in range(30)} == {"127.0.0.1"}


def test_more_pods_than_any_step_has_get_their_share(start: Start, port: int) -> None:
    gateway = start(
        {"digits-stable.test": pods("127.0.0.1"), "digits-canary.test": pods("127.0.0.2", "127.0.0.3")},
        routes=[route("digits", port, stable=(), canary=((1, 20),))],
    )
    answered = Counter(answered_by(gateway.ask(INFER, b"{}")) for _ in range(200))
    # Of 200 at two thirds, outside 95…165 once in a million runs.
    assert 95 <= 200 - answered["127.0.0.1"] <= 165


def test_an_answer_that_takes_too_long_is_a_504(start: Start) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(answer_seconds=1))
    pod.seconds = 5
    answer = gateway.ask(INFER, b"{}")
    assert (answer.status, error_of(answer)) == (504, "no pod of the model answered in time")


def test_prometheus_is_told_of_requests_by_model(start: Start) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")})
    gateway.ask(INFER, b"{}")
    page = urllib3.request("GET", f"{gateway.metrics}/metrics?no-maint").data.decode()
    assert 'haproxy_backend_http_responses_total{proxy="digits.stable",code="2xx"} 1' in page


def test_pods_that_come_and_go_are_found_by_the_models_name(start: Start) -> None:
    one, other = pods("127.0.0.1", "127.0.0.2")
    # An open connection to a pod that still answers is used on, whatever names say.
    one.closes = True
    names = {"digits-stable.test": ["127.0.0.1"]}
    gateway = start({"digits-stable.test": [one, other]}, names=names, awaited=1)
    names["digits-stable.test"] = ["127.0.0.2"]
    until(lambda: answered_by(gateway.ask(INFER, b"{}")) == "127.0.0.2", "the other pod answers")
    assert {answered_by(gateway.ask(INFER, b"{}")) for _ in range(4)} == {"127.0.0.2"}


def test_while_no_pod_is_known_by_name_the_models_service_is_asked(start: Start, port: int) -> None:
    (pod,) = pods("127.0.0.1")
    found = route("digits", port).targets["stable"]
    target = replace(found, otherwise="digits.test")
    behind = Route(model="digits", protocol="open-inference-v2", targets={"stable": target})
    names = {"digits.test": ["127.0.0.1"]}
    gateway = start({"digits.test": [pod]}, routes=[behind], names=names, awaited=1)
    assert gateway.ask(INFER, b"{}").status == 200
    names["digits-stable.test"] = ["127.0.0.1"]
    until(lambda: pods_up(gateway) == 2, "the pod is known by its own name too")
    assert gateway.ask(INFER, b"{}").status == 200


def test_a_gateway_that_ends_answers_what_it_is_asked_and_asks_clients_to_come_back(start: Start) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")})
    host, port = gateway.url.rpartition("/")[2].split(":")
    asked = f"GET {INFER} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=30) as kept:
        kept.sendall(asked)
        assert b"connection: close" not in kept.recv(4096)
        gateway.process.send_signal(signal.SIGUSR1)
        until(lambda: b"Proxy models stopped" in gateway.log.read_bytes(), "nothing new is taken")
        kept.sendall(asked)
        said = b"".join(iter(lambda: kept.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in said
    assert gateway.process.wait(60) == 0


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_large_requests_that_trickle_take_no_place_of_small_ones(start: Start, method: str) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(per_pod=1, queue_seconds=1, retry_bytes=16 << 10))
    host, port = gateway.url.rpartition("/")[2].split(":")
    head = f"{method} {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n".encode()
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(head + b" " * (32 << 10))
        until(lambda: bool(pod.asked), "a pod is busy with a large request")
        assert gateway.ask(INFER, b" " * 50_000).status == 503
        assert answered_by(gateway.ask(INFER, b"{}")) == "127.0.0.1"


def test_a_queue_that_would_take_all_connections_is_refused_at_once(start: Start) -> None:
    (pod,) = pods("127.0.0.1")
    # Of ten connections five may wait, as many small requests as large ones: two.
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(per_pod=1, queue_seconds=60, connections=10))
    pod.seconds = 3
    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(lambda _: gateway.ask(INFER, b"{}"), range(6)))
    refused = [one for one in answers if one.status == 503]
    assert {error_of(one) for one in refused} == {"too many requests wait for a pod of the model; try again"}
    assert {one.headers["retry-after"] for one in refused} == {"1"}
    assert (len(answers) - len(refused), len(refused)) == (3, 3)
