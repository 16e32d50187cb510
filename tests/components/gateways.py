"""A real HAProxy on loopback, before pods that a test controls."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from components.haproxy import Listening, Route, Target, render
from components.shares import Caps
from local import specs
from local.roots import root
from local.steps import Steps
from model_build.places import cache_root
from settings import GatewaySettings
from tests.components.backends import READY, Pod, naming, serving
from tests.model_server.running import Server
from tests.registry import free_port
from tests.waiting import until

INFER = "/v2/models/digits/infer"


@dataclass(frozen=True)
class Gateway:
    """A running HAProxy."""

    url: str
    metrics: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """Send one request over a connection of its own; `body` makes it a POST."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "GET" if body is None else "POST"
        return urllib3.request(method, f"{self.url}{path}", body=body, headers=named, retries=False, timeout=20)

    def lines(self) -> list[dict[str, Any]]:
        """Return its access log."""
        told = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in told]


Start = Callable[..., Gateway]


def program() -> list[str]:
    """Return the command that runs Debian's haproxy, with the libraries beside it."""
    assert specs.HAPROXY.root
    tree = root(specs.HAPROXY.root, cache_root(), Steps())
    (loader,) = tree.glob("lib64/ld-linux-*.so.*")
    folders = ":".join(str(path) for path in (*tree.glob("lib/*-linux-gnu"), *tree.glob("usr/lib/*-linux-gnu")))
    return [str(loader), "--library-path", folders, str(tree / "usr/sbin/haproxy")]


def route(model: str, port: int, *, protocol: str = "open-inference-v2", **caps: Caps) -> Route:
    """Return a model whose versions are found at `<model>-<version>.test`, with these caps."""
    targets = {
        version: Target(host=f"{model}-{version}.test", port=port, ready=READY, pods=4, caps=most)
        for version, most in (caps or {"stable": ()}).items()
    }
    return Route(model=model, protocol=protocol, targets=targets)


@contextmanager
def running(
    routes: list[Route], settings: GatewaySettings, folder: Path, nameserver: str, awaited: int
) -> Iterator[Gateway]:
    """Yield a gateway, once `awaited` of its pods are up."""
    at = Listening(port=free_port(), metrics=free_port(), folder=str(folder), nameserver=nameserver)
    (folder / "haproxy.cfg").write_text(render(routes, settings, at))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*program(), "-db", "-f", folder / "haproxy.cfg"], stdout=output, stderr=output)
    scheme = "https" if settings.tls else "http"
    made = Gateway(f"{scheme}://127.0.0.1:{at.port}", f"http://127.0.0.1:{at.metrics}", process, log)
    try:
        until(lambda: pods_up(made) == awaited, f"{awaited} pods are up")
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def before(model: str, server: Server, folder: Path) -> Iterator[Gateway]:
    """Yield a gateway as a stack has it by default, before a real server of one model."""
    routes = [route(model, int(server.url.rpartition(":")[2]))]
    with (
        naming({f"{model}-stable.test": ["127.0.0.1"]}) as names,
        running(routes, GatewaySettings(), folder, names, awaited=1) as gateway,
    ):
        yield gateway


def pods_up(gateway: Gateway) -> int:
    """Return how many pods the gateway takes for up; -1 while it does not answer, or not for large requests too.

    A Service where requests wait for a first pod is none.
    """
    try:
        page = urllib3.request("GET", f"{gateway.metrics}/metrics?scope=server", retries=False).data.decode()
    except urllib3.exceptions.HTTPError:
        return -1
    told = [line for line in page.splitlines() if line.startswith("haproxy_server_status{")]
    up = [line for line in told if 'state="UP"' in line and line.endswith(" 1") and '.waking"' not in line]
    large = sum('.large"' in line for line in up)
    return large if len(up) == 2 * large else -1


def answered_by(response: urllib3.BaseHTTPResponse) -> str:
    """Return the address of the pod that answered."""
    assert response.status == 200, response.data
    return str(response.json()["pod"])


def pods(*addresses: str) -> list[Pod]:
    """Return pods that answer well."""
    return [Pod(address) for address in addresses]


@pytest.fixture
def port() -> int:
    """Return the port of all pods, each at an address of its own."""
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
            return stack.enter_context(running(routes or [route("digits", port)], own, tmp_path, server, count))

        yield made


def error_of(response: urllib3.BaseHTTPResponse) -> str:
    """Return what a refusal in JSON says."""
    assert response.headers["content-type"] == "application/json"
    return str(response.json()["error"])


def raw(gateway: Gateway, sent: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    host, port = gateway.url.rpartition("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(4096), b""))
