"""The registry client against servers that misbehave."""

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_build.errors import RegistryError
from model_build.oci import transport
from model_build.oci.auth import Challenge, Credentials, may_see
from model_build.oci.credentials import docker_credentials
from model_build.oci.registry import Registry
from model_build.oci.upload import Bytes, Upload
from tests.registry import free_port

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[BaseHTTPRequestHandler], Answer]
BODY = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
SECRET = Credentials("someone", "a secret")


@contextmanager
def server(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[BaseHTTPRequestHandler]]]:
    """Yield the host of a server that answers as `script` says, and the requests it got."""
    seen: list[BaseHTTPRequestHandler] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self)
            status, headers, body = script(self)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        found.socket = tls.wrap_socket(found.socket, server_side=True)
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{found.server_port}", seen
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(transport, "LONGEST_PAUSE_SECONDS", 0.0)


def test_a_registry_that_is_down_is_named_with_the_remedy() -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError, match=rf"registry {host}: GET .* does not answer .*; start it"):
        Registry(host).tags("a")


def test_a_passing_fault_is_tried_again() -> None:
    answers = iter([503, 429, 200])
    with server(lambda _: (next(answers), {}, b'{"tags": ["a"]}')) as (host, seen):
        assert Registry(host).tags("a") == ["a"]
    assert len(seen) == 3


def test_a_lasting_fault_ends_after_the_bounded_tries() -> None:
    with server(lambda _: (500, {}, b"broken")) as (host, seen):
        with pytest.raises(RegistryError, match="was answered with 500 broken"):
            Registry(host).tags("a")
        assert len(seen) == transport.TRIES


def test_a_refusal_is_not_tried_again() -> None:
    with server(lambda _: (403, {}, b"no")) as (host, seen):
        with pytest.raises(RegistryError, match="403 ; ask for the right"):
            Registry(host).head("a", "v1")
        assert len(seen) == 1


def test_a_manifest_that_is_not_its_digest_is_refused() -> None:
    with server(lambda _: (200, {}, b"something else")) as (host, _), pytest.raises(RegistryError, match="are not"):
        Registry(host).get("a", DIGEST)


def test_a_blob_that_is_not_its_digest_is_refused() -> None:
    with server(lambda _: (200, {}, b"something else")) as (host, _), pytest.raises(RegistryError, match="gave bytes"):
        Registry(host).blob("a", DIGEST)


def test_a_blob_that_is_cut_off_is_refused() -> None:
    cut: Script = lambda _: (200, {"Content-Length": "1000"}, BODY)  # noqa: E731
    with server(cut) as (host, _), pytest.raises(RegistryError, match="was cut off"):
        Registry(host).blob("a", DIGEST)


def test_a_manifest_stored_under_another_digest_is_refused() -> None:
    stored = {"Docker-Content-Digest": "sha256:" + "1" * 64}
    with server(lambda _: (201, stored, b"")) as (host, _), pytest.raises(RegistryError, match="stored sha256:1"):
        Registry(host).put("a", "v1", BODY)


def test_a_registry_that_asks_for_basic_credentials_gets_them() -> None:
    def script(request: BaseHTTPRequestHandler) -> Answer:
        if request.headers["Authorization"] != SECRET.basic:
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
        return 200, {}, b'{"tags": ["a"]}'

    with server(script) as (host, _):
        assert Registry(host, SECRET).tags("a") == ["a"]


def test_credentials_that_are_missing_are_asked_for() -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    with server(lambda _: (401, challenge, b"")) as (host, _), pytest.raises(RegistryError, match="docker login"):
        Registry(host).tags("a")


def test_a_token_service_of_the_registry_itself_gets_the_credentials_and_its_token_is_used() -> None:
    def script(request: BaseHTTPRequestHandler) -> Answer:
        if request.path.startswith("/token"):
            good = request.headers["Authorization"] == SECRET.basic and "scope=repository%3Aa%3Apull" in request.path
            return (200, {}, b'{"token": "t"}') if good else (401, {}, b"")
        if request.headers["Authorization"] == "Bearer t":
            return 200, {}, b'{"tags": ["a"]}'
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="s",scope="repository:a:pull"'
        return 401, {"WWW-Authenticate": realm}, b""

    with server(script) as (host, _):
        assert Registry(host, SECRET).tags("a") == ["a"]


@pytest.mark.parametrize("body", [b"no json", b"{}", b"[]"])
def test_a_token_service_that_gives_no_token_is_named(body: bytes) -> None:
    def script(request: BaseHTTPRequestHandler) -> Answer:
        if request.path.startswith("/token"):
            return 200, {}, body
        return 401, {"WWW-Authenticate": f'Bearer realm="http://{request.headers["Host"]}/token"'}, b""

    with server(script) as (host, _), pytest.raises(RegistryError, match="got no token from"):
        Registry(host).tags("a")


def test_a_token_service_on_another_host_sees_no_credentials() -> None:
    with server(lambda _: (200, {}, b'{"token": "t"}')) as (elsewhere, seen):
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{elsewhere}/token"'}
        with server(lambda _: (401, challenge, b"")) as (host, _), pytest.raises(RegistryError, match="token service"):
            Registry(host, SECRET).tags("a")
        assert seen == []


def test_a_redirect_to_another_host_is_followed_without_credentials() -> None:
    with server(lambda _: (200, {}, BODY)) as (elsewhere, seen):

        def script(request: BaseHTTPRequestHandler) -> Answer:
            if request.headers["Authorization"] is None:
                return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
            return 307, {"Location": f"http://{elsewhere}/blob"}, b""

        with server(script) as (host, _):
            assert Registry(host, SECRET).blob("a", DIGEST) == BODY
        assert [one.headers["Authorization"] for one in seen] == [None]


def test_an_upload_location_on_another_host_gets_no_credentials() -> None:
    with server(lambda _: (201, {}, b"")) as (elsewhere, seen):

        def script(request: BaseHTTPRequestHandler) -> Answer:
            if request.headers["Authorization"] is None:
                return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
            return 202, {"Location": f"http://{elsewhere}/upload"}, b""

        with server(script) as (host, _):
            Upload(Registry(host, SECRET), "a", Bytes(BODY), DIGEST).run()
        assert [one.headers["Authorization"] for one in seen] == [None]


def test_a_registry_that_refuses_to_mount_opens_a_new_upload() -> None:
    def script(request: BaseHTTPRequestHandler) -> Answer:
        if "mount=" in request.path:
            return 403, {}, b"not yours"
        return 202, {"Location": "/upload"}, b""

    with server(script) as (host, seen):
        place = Registry(host).uploads.mount("a", DIGEST, "b")
        assert place is not None
        assert place.url == f"http://{host}/upload"
    assert len(seen) == 2


def test_a_redirect_that_leaves_tls_for_the_network_is_refused() -> None:
    away = {"Location": "http://registry.example/blob"}
    with server(lambda _: (307, away, b"")) as (host, _), pytest.raises(RegistryError, match="without TLS"):
        Registry(host).blob("a", DIGEST)


def test_redirects_without_end_are_refused() -> None:
    with server(lambda request: (307, {"Location": request.path}, b"")) as (host, _):  # noqa: SIM117
        with pytest.raises(RegistryError, match="redirects over 5 times"):
            Registry(host).blob("a", DIGEST)


@pytest.mark.parametrize(
    ("realm", "registry", "allowed"),
    [
        ("https://auth.docker.io/token", "https://registry-1.docker.io", True),
        ("http://auth.docker.io/token", "https://registry-1.docker.io", False),
        ("https://auth.example/token", "http://127.0.0.1:5000", False),
        ("http://127.0.0.1:5000/token", "http://127.0.0.1:5000", True),
        ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000", False),
    ],
)
def test_who_may_see_credentials(realm: str, registry: str, allowed: bool) -> None:
    assert may_see(realm, registry) is allowed


def test_a_name_off_loopback_is_spoken_to_over_tls() -> None:
    roots = {host: transport.Transport(host, None).root for host in ("ghcr.io", "127.0.0.1:5", "localhost", "10.0.0.1")}
    assert [root.split(":")[0] for root in roots.values()] == ["https", "http", "http", "https"]


def test_dockers_configuration_gives_credentials_to_its_host_alone(tmp_path: Path) -> None:
    auth = base64.b64encode(b"someone:a secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"a.example": {"auth": auth}}}))
    assert docker_credentials(tmp_path, "a.example") == SECRET
    assert docker_credentials(tmp_path, "b.example") is None


def test_a_damaged_docker_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RegistryError, match=r"config.json: cannot be read .*docker login a.example"):
        docker_credentials(tmp_path, "a.example")


@pytest.mark.parametrize(
    ("header", "scheme", "realm"),
    [
        ('Bearer realm="https://a/token",service="s", Basic realm="x"', "bearer", "https://a/token"),
        ('Basic realm="x, y=z", Bearer realm="https://a/token"', "bearer", "https://a/token"),
        ('Negotiate, Basic realm="x"', "basic", "x"),
        ("bearer Realm=https://a/token", "bearer", "https://a/token"),
        ("", "", None),
    ],
)
def test_of_several_challenges_the_one_that_can_be_met_is_taken(header: str, scheme: str, realm: str | None) -> None:
    found = Challenge.parse(header)
    assert (found.scheme, found.parameters.get("realm")) == (scheme, realm)


def test_credentials_do_not_show_when_printed() -> None:
    assert "secret" not in repr(SECRET)
