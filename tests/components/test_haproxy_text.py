"""The rendered haproxy.cfg: as it was agreed on, and as HAProxy itself takes it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from components.haproxy import Listening, Route, Target, render
from components.shares import Caps
from settings import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from tests.components.gateways import program

GOLDEN = Path(__file__).with_name("golden")
PUBLIC = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""
KEYS = {"alice": KeySettings(sha256="0" * 64, requests=100)}
JWT = JwtSettings(algorithm="ES256", public_key=PUBLIC, issuer="https://issuer.example", audience="models")
TLS = TlsSettings(secret="models-tls")
CASES = {
    "open": GatewaySettings(),
    "keys": GatewaySettings(keys=KEYS, limit=LimitSettings(requests=10, seconds=60), tls=TLS),
    "jwt": GatewaySettings(jwt=JWT, limit=LimitSettings(requests=10)),
}


def target(host: str, caps: Caps = (), otherwise: str | None = None) -> Target:
    named = otherwise and f"{otherwise}.shop.svc.cluster.local"
    return Target(
        host=f"{host}.shop.svc.cluster.local",
        port=8080,
        ready="/v2/health/ready",
        pods=6,
        caps=caps,
        otherwise=named,
    )


ROUTES = [
    Route(model="mnist", protocol="tensorflow-v1", targets={"stable": target("mnist-pods")}),
    Route(model="chat", protocol="openai-v1", targets={"stable": target("chat-pods")}),
    Route(
        model="digits",
        protocol="open-inference-v2",
        targets={
            "stable": target("digits-stable-pods", otherwise="digits"),
            "canary": target("digits-canary-pods", ((1, 20), (2, 50))),
        },
    ),
]


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_the_one_agreed_on(name: str) -> None:
    assert render(ROUTES, CASES[name], Listening()) == (GOLDEN / f"{name}.cfg").read_text()


@pytest.mark.e2e
@pytest.mark.parametrize("name", CASES)
def test_haproxy_takes_the_configuration_without_a_warning(name: str, tmp_path: Path) -> None:
    files = {"keys/names.map": "", "keys/limits.map": "", "jwt/key.pem": PUBLIC, "tls/tls.crt": "", "tls/tls.key": ""}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    pair = ("-keyout", str(tmp_path / "tls/tls.key"), "-out", str(tmp_path / "tls/tls.crt"))
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=models", *pair]
    subprocess.run(made, check=True, capture_output=True)
    asleep = replace(target("asleep-pods", otherwise="asleep"), to_zero=True)
    routes = [*ROUTES, Route(model="asleep", protocol="open-inference-v2", targets={"stable": asleep})]
    (tmp_path / "haproxy.cfg").write_text(render(routes, CASES[name], Listening(folder=str(tmp_path))))
    command = [*program(), "-c", "-dW", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
