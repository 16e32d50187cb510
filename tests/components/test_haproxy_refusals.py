"""What a real HAProxy refuses: clients that nobody knows, too many requests, too much, too slow."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from pathlib import Path

import pytest
import urllib3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from settings import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from tests.components.gateways import INFER, Start, error_of, pods, port, raw, start
from tests.waiting import until

pytestmark = pytest.mark.e2e
__all__ = ["port", "start"]  # fixtures of the tests below

KEY = "not-a-secret-of-anyone"  # pragma: allowlist secret
HASH = hashlib.sha256(KEY.encode()).hexdigest()


def keyed(folder: Path, **settings: object) -> GatewaySettings:
    (folder / "keys").mkdir()
    (folder / "keys/names.map").write_text(f"{HASH} alice\n")
    (folder / "keys/limits.map").write_text("")
    return GatewaySettings(keys={"alice": KeySettings(sha256=HASH)}, **settings)  # type: ignore[arg-type]


def test_without_a_known_key_nothing_is_answered_but_health(start: Start, tmp_path: Path) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")}, keyed(tmp_path))
    wrong = "wrong"
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x_api_key": wrong}, {"authorization": f"Basic {KEY}"}):
        answer = gateway.ask(INFER, b"{}", **headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), headers
        assert error_of(answer).startswith("key: is missing or unknown")
    assert gateway.ask("/v2/health/ready").status == 200


def token(key: rsa.RSAPrivateKey, claims: dict[str, object], algorithm: str = "RS256") -> str:
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
    right: dict[str, object] = {"iss": "https://issuer.example", "aud": "models", "exp": now + 600, "sub": "alice"}

    def status(found: str) -> int:
        return int(gateway.ask(INFER, b"{}", authorization=f"Bearer {found}").status)

    assert status(token(key, right)) == 200
    assert status(token(key, right | {"aud": ["others", "models"]})) == 200
    wrong = {
        "another key": token(other, right),
        "another algorithm": token(key, right, "none"),
        "its public key as a secret": token(key, right, "HS256"),
        "expired": token(key, right | {"exp": now - 1}),
        "no end": token(key, {name: one for name, one in right.items() if name != "exp"}),
        "not yet": token(key, right | {"nbf": now + 600}),
        "another issuer": token(key, right | {"iss": "https://issuer.example.evil"}),
        "another audience": token(key, right | {"aud": "other-models"}),
        "nobody": token(key, {name: one for name, one in right.items() if name != "sub"}),
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


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_body_over_the_limit_is_a_413_and_one_without_a_length_a_411(start: Start, method: str) -> None:
    (pod,) = pods("127.0.0.1")
    gateway = start({"digits-stable.test": [pod]}, GatewaySettings(body_bytes=1024))
    url = f"{gateway.url}{INFER}"
    assert urllib3.request(method, url, body=b"x" * 1024, retries=False).status == 200
    answer = urllib3.request(method, url, body=b"x" * 1025, retries=False)
    assert (answer.status, error_of(answer)) == (413, "body: is larger than 1024 bytes; send less")
    chunked = urllib3.request(method, url, body=iter([b"{}"]), retries=False)
    assert (chunked.status, error_of(chunked)) == (411, "content-length: is missing; send it")
    assert len(pod.asked) == 1


def test_other_methods_are_a_405(start: Start) -> None:
    gateway = start({"digits-stable.test": pods("127.0.0.1")})
    answer = urllib3.request("DELETE", f"{gateway.url}{INFER}", retries=False)
    assert (answer.status, error_of(answer)) == (405, "method: only GET, HEAD and POST are known here")


@pytest.mark.parametrize(
    "sent",
    [
        b"POST ",
        *(f"{one} {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nslow".encode() for one in ("POST", "GET")),
    ],
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
