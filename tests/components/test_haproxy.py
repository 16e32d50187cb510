"""What a real HAProxy does with the rendered configuration: where requests go, and which are refused."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from components.haproxy import Route
from settings import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from tests.components import gateways
from tests.components.backends import Pod, naming, serving
from tests.components.gateways import Gateway, answered_by, pods, route
from tests.registry import free_port
from tests.waiting import until

pytestmark = pytest.mark.e2e

INFER = "/v2/models/digits/infer"
KEY = "not-a-secret-of-anyone"  # pragma: allowlist secret
HASH = hashlib.sha256(KEY.encode()).hexdigest()
Start = Callable[..., Gateway]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    """Start a gateway before pods by version; a model `digits` with one version where no routes are given."""
    with ExitStack() as stack:

        def made(
            found: dict[str, list[Pod]],
            settings: GatewaySettings | None = None,
            routes: list[Route] | None = None,
            awaited: int | None = None,
            names: dict[str, list[str]] | None = None,
        ) -> Gateway:
            names = names or {name: [pod.address for pod in of] for name, of in found.items()}
            for pod in (pod for of in found.values() for pod in of):
                stack.enter_context(serving(pod, port))
            server = stack.enter_context(naming(names))
            count = sum(len(of) for of in found.values()) if awaited is None else awaited
            own = settings or GatewaySettings()
            return stack.enter_context(
                gateways.running(routes or [route("digits", port)], own, tmp_path, server, count)
            )

        yield made


def error_of(response: urllib3.BaseHTTPResponse) -> str:
    assert response.headers["content-type"] == "application/json"
    return str(response.json()["error"])


def raw(gateway: Gateway, sent: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    host, port = gateway.url.rpartition("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(4096), b""))


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


def test_weights_share_requests_out_and_a_version_without_pods_gets_none(start: Start, port: int) -> None:
    stable, canary = pods("127.0.0.1"), pods("127.0.0.2")
    gateway = start(
        {"digits-stable.test": stable, "digits-canary.test": canary},
        routes=[route("digits", port, stable=80, canary=20)],
    )
    answered = Counter(answered_by(gateway.ask(INFER, b"{}")) for _ in range(200))
    # Of 200 at 20 %, outside 10…75 once in ten million runs.
    assert 10 <= answered["127.0.0.2"] <= 75
    canary[0].ready = False
    until(lambda: gateways.pods_up(gateway) == 1, "the canary is down")
    assert {answered_by(gateway.ask(INFER, b"{}")) for _ in range(30)} == {"127.0.0.1"}


def keyed(folder: Path, **settings: object) -> GatewaySettings:
    (folder / "keys").mkdir()
    (folder / "keys/names.map").write_text(f"{HASH} alice\n")
    (folder / "keys/limits.map").write_text("")
    return GatewaySettings(keys={"alice": KeySettings(sha256=HASH)}, **settings)  # type: ignore[arg-type]


def test_without_a_known_key_nothing_is_answered_but_health(start: Start, tmp_path: Path) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, keyed(tmp_path))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x_api_key": "wrong"}, {"authorization": f"Basic {KEY}"}):
        answer = gateway.ask(INFER, b"{}", **headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), headers
        assert error_of(answer).startswith("key: is missing or unknown")
    assert gateway.ask("/v2/health/ready").status == 200


def token(key: rsa.RSAPrivateKey, *, algorithm: str = "RS256", **claims: object) -> str:
    """Return a signed token: RFC 7519, by RFC 7518 section 3.3."""
    parts = [json.dumps(one).encode() for one in ({"alg": algorithm, "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(one).rstrip(b"=") for one in parts)
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return f"{signed.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_token_opens_only_by_the_right_key_and_with_the_right_claims(start: Start, tmp_path: Path) -> None:
    key, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "jwt").mkdir()
    (tmp_path / "jwt/key.pem").write_bytes(public)
    jwt = JwtSettings(public_key=public.decode(), issuer="https://issuer.example", audience="models")
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, GatewaySettings(jwt=jwt))
    now = int(time.time())
    right = {"iss": "https://issuer.example", "aud": "models", "exp": now + 600, "sub": "alice"}

    def status(found: str) -> int:
        return int(gateway.ask(INFER, b"{}", authorization=f"Bearer {found}").status)

    assert status(token(key, **right)) == 200
    assert status(token(key, **right | {"aud": ["others", "models"]})) == 200
    wrong = {
        "another key": token(other, **right),
        "another algorithm": token(key, algorithm="none", **right),
        "its public key as a secret": token(key, algorithm="HS256", **right),
        "expired": token(key, **right | {"exp": now - 1}),
        "no end": token(key, **{name: one for name, one in right.items() if name != "exp"}),
        "not yet": token(key, **right | {"nbf": now + 600}),
        "another issuer": token(key, **right | {"iss": "https://issuer.example.evil"}),
        "another audience": token(key, **right | {"aud": "other-models"}),
        "nobody": token(key, **{name: one for name, one in right.items() if name != "sub"}),
        "no token": "x",
    }
    assert {name: status(found) for name, found in wrong.items()} == dict.fromkeys(wrong, 401)
    until(lambda: len(gateway.lines()) == 2 + len(wrong), "all are logged")
    assert gateway.lines()[0]["client"] == "alice"


def test_with_a_certificate_only_tls_is_spoken(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(tmp_path / "tls/tls.key"), "-out", str(tmp_path / "tls/tls.crt"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files],
        check=True,
        capture_output=True,
    )
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, GatewaySettings(tls=TlsSettings(secret="any")))
    with urllib3.PoolManager(ca_certs=str(tmp_path / "tls/tls.crt"), retries=False) as pool:
        assert pool.request("GET", f"{gateway.url}{INFER}").status == 200
    assert b"HTTP/1.1 200" not in raw(gateway, f"GET {INFER} HTTP/1.1\r\nhost: x\r\n\r\n".encode())


def test_a_known_key_opens_and_no_pod_sees_it(start: Start, tmp_path: Path) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, keyed(tmp_path))
    assert gateway.ask(INFER, b"{}", authorization=f"Bearer {KEY}").status == 200
    assert gateway.ask(INFER, b"{}", x_api_key=KEY).status == 200
    assert KEY not in str(pod.asked)


def test_the_log_is_json_with_the_keys_name_and_neither_key_nor_body(start: Start, tmp_path: Path) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, keyed(tmp_path))
    gateway.ask(f"{INFER}?key={KEY}", b'{"inputs": "of a client"}', authorization=f"Bearer {KEY}")
    raw(
        gateway,
        f'GET /v2/models/"quoted" HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n'.encode(),
    )
    until(lambda: len(gateway.lines()) == 2, "both requests are logged")
    known, unknown = gateway.lines()
    assert (known["client"], known["path"], known["status"], known["backend"]) == ("alice", INFER, 200, "digits.stable")
    assert unknown["path"] == '/v2/models/"quoted"'
    said = gateway.log.read_text()
    assert KEY not in said
    assert HASH not in said
    assert "of a client" not in said


def test_too_many_requests_of_a_client_are_a_429_that_says_when_to_come_back(start: Start, tmp_path: Path) -> None:
    settings = keyed(tmp_path, limit=LimitSettings(requests=3, seconds=60))
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, settings)
    answers = [gateway.ask(INFER, b"{}", x_api_key=KEY) for _ in range(5)]
    assert [one.status for one in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "60"
    assert error_of(answers[-1]).startswith("too many requests of this client in 60 s")


def test_a_key_may_have_a_limit_of_its_own(start: Start, tmp_path: Path) -> None:
    settings = keyed(tmp_path, limit=LimitSettings(requests=1, seconds=60))
    (tmp_path / "keys/limits.map").write_text("alice 3\n")
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, settings)
    assert [gateway.ask(INFER, b"{}", x_api_key=KEY).status for _ in range(4)] == [200, 200, 200, 429]


def test_a_body_over_the_limit_is_a_413_and_one_without_a_length_a_411(start: Start) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(body_bytes=1024))
    assert gateway.ask(INFER, b"x" * 1024).status == 200
    answer = gateway.ask(INFER, b"x" * 1025)
    assert (answer.status, error_of(answer)) == (413, "body: is larger than 1024 bytes; send less")
    chunked = urllib3.request("POST", f"{gateway.url}{INFER}", body=iter([b"{}"]), retries=False)
    assert (chunked.status, error_of(chunked)) == (411, "content-length: is missing; send it")
    assert len(pod.asked) == 1


def test_other_methods_are_a_405(start: Start) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")})
    answer = urllib3.request("DELETE", f"{gateway.url}{INFER}", retries=False)
    assert (answer.status, error_of(answer)) == (405, "method: only GET, HEAD and POST are known here")


@pytest.mark.parametrize(
    "sent", [b"POST ", f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nslow".encode()]
)
def test_a_client_that_sends_too_slowly_is_cut_off_before_a_pod_hears_of_it(start: Start, sent: bytes) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(request_seconds=1))
    assert raw(gateway, sent).startswith(b"HTTP/1.1 408 ")
    assert not pod.asked


def test_a_body_that_comes_too_slowly_is_told_so_in_json(start: Start) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, GatewaySettings(request_seconds=1))
    said = raw(gateway, f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nslow".encode())
    assert b'{"error":"the request took too long to arrive' in said


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
