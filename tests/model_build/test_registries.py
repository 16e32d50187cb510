"""Registries as they are met in the field: behind an authority of one's own, mirrors, proxies, helpers and AWS."""

import base64
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from local import pki
from model_build.errors import RegistryError
from model_build.oci.auth import Credentials
from model_build.oci.credentials import credentials_of
from model_build.oci.hosts import mirrors, places
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.mirrors import Source
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push, push_draft
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from tests.model_build.test_registry_faults import Answer, server
from tests.registry import running_registry

PLATFORM = "linux/amd64"
IMAGE = Image(PLATFORM, (entries_layer([Entry("file", b"content")]),), ImageConfig(user="1:1"))
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A registry behind TLS, and its authority."""
    folder = tmp_path_factory.mktemp("secure")
    pki.make(folder / "pki")
    with running_registry(folder / "registry", tls_of(folder / "pki")) as host:
        yield host, folder / "pki" / "ca.crt"


def tls_of(folder: Path, further: str = "") -> str:
    return f"{{certificate: {folder / 'apiserver.crt'}, key: {folder / 'apiserver.key'}{further}}}"


def told(folder: Path, host: str, **files: str) -> Path:
    """Write what is told of a host into a docker folder, and return that."""
    place = folder / "certs.d" / host
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name.replace("_", ".")).write_text(text)
    return folder


def test_an_image_goes_to_a_registry_whose_authority_docker_was_told(secure: tuple[str, Path], tmp_path: Path) -> None:
    host, authority = secure
    folder = told(tmp_path, host, ca_crt=authority.read_text())
    push(IMAGE, Registry.of_docker(host, folder), "a", ["v1"])
    assert Registry.of_docker(host, folder).tags("a") == ["v1"]


def test_a_registry_whose_authority_is_another_is_refused(secure: tuple[str, Path], tmp_path: Path) -> None:
    host, authority = secure
    folder = told(tmp_path, host, ca_crt=authority.with_name("front-proxy-ca.crt").read_text())
    with pytest.raises(RegistryError, match=r"registry 127.0.0.1:\d+: GET .* does not answer .*certificate"):
        Registry.of_docker(host, folder).tags("a")


def test_every_authority_that_docker_was_told_counts(secure: tuple[str, Path], tmp_path: Path) -> None:
    host, authority = secure
    another = authority.with_name("front-proxy-ca.crt").read_text()
    folder = told(tmp_path, host, a_crt=another, b_crt=authority.read_text())
    assert Registry.of_docker(host, folder).tags("none") == []
    pem = [folder / "certs.d" / host / name for name in ("a.crt", "b.crt")]
    toml = f'[host."https://{host}"]\nca = ["{pem[0]}", "{pem[1]}"]'
    (mirror,) = mirrors("a.example", places(told(tmp_path, "a.example", hosts_toml=toml)))
    assert Registry(mirror.host, None, mirror).tags("none") == []


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = told(tmp_path, "registry.example")
    (folder / "certs.d" / "registry.example" / "ca.crt").symlink_to("nowhere")
    with pytest.raises(RegistryError, match=r"its authorities .*ca.crt cannot be read .*; correct the file"):
        Registry.of_docker("registry.example", folder).tags("a")


def test_a_registry_that_asks_for_a_certificate_is_shown_the_one_beside_the_authority(
    secure: tuple[str, Path], tmp_path: Path
) -> None:
    authority = secure[1]
    asking = tls_of(authority.parent, f", clientcas: [{authority}]")
    with running_registry(tmp_path / "registry", asking) as host:
        folder = told(tmp_path, host, ca_crt=authority.read_text())
        with pytest.raises(RegistryError, match="does not answer"):
            Registry.of_docker(host, folder).tags("a")
        for ending, kept in (("cert", "admin.crt"), ("key", "admin.key")):
            (folder / "certs.d" / host / f"client.{ending}").write_text(authority.with_name(kept).read_text())
        assert Registry.of_docker(host, folder).tags("a") == []


def mirrored(folder: Path, host: str, mirror: str, more: str = "") -> Path:
    return told(folder, host, hosts_toml=f'server = "https://{host}"\n[host."http://{mirror}"]\n{more}')


def test_a_base_is_pulled_from_the_mirror_of_its_registry(
    host: str, registry: Registry, repository: str, tmp_path: Path
) -> None:
    push(IMAGE, registry, f"{repository}-base", ["v1"])
    source = Source.of_docker("registry.invalid", mirrored(tmp_path, "registry.invalid", host))
    base = pull_base(source, Reference("registry.invalid", f"{repository}-base", "v1"), PLATFORM)
    draft = Image(PLATFORM, (), ImageConfig(), base).draft
    image = push_draft(draft, Target(registry, repository, source))
    assert registry.head(repository, image.digest) is not None


def test_a_mirror_that_is_down_or_lacks_the_image_is_passed_over(
    host: str, registry: Registry, repository: str, tmp_path: Path
) -> None:
    push(IMAGE, registry, repository, ["v1"])
    with running_registry(tmp_path / "empty") as empty:
        source = Source.of_docker(host, mirrored(tmp_path, host, empty))
        base = pull_base(source, Reference(host, repository, "v1"), PLATFORM)
    assert [one.digest for one in base.layers] == [IMAGE.layers[0].digest]
    assert source.blob(repository, IMAGE.config_digest) == IMAGE.config_bytes


def test_a_mirror_without_the_right_to_resolve_is_not_asked(tmp_path: Path) -> None:
    folder = mirrored(tmp_path, "a.example", "127.0.0.1:1", 'capabilities = ["pull"]')
    assert mirrors("a.example", places(folder)) == ()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[host."http://mirror.example"]', "is no https:// URL, nor http:// on loopback"),
        ('[host."https://mirror.example"]\nskip_verify = true', "has skip_verify, which is not done here"),
        ("[host", "cannot be read"),
        ("host = 1", "cannot be read"),
    ],
)
def test_a_mirror_that_cannot_be_trusted_or_read_is_named(tmp_path: Path, text: str, match: str) -> None:
    folder = told(tmp_path, "a.example", hosts_toml=text)
    with pytest.raises(RegistryError, match=rf"hosts.toml: .*{match}"):
        mirrors("a.example", places(folder))


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a credential helper on the PATH."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def configured(folder: Path, **values: object) -> Path:
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_a_helper_of_the_host_is_asked_before_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "own", 'read host; echo "{\\"Username\\": \\"of $host\\", \\"Secret\\": \\"s\\"}"', monkeypatch)
    old = base64.b64encode(b"old:old").decode()
    folder = configured(tmp_path, credHelpers={"a.example": "own"}, auths={"a.example": {"auth": old}})
    assert credentials_of(folder, "a.example") == Credentials("of a.example", "s")
    assert credentials_of(folder, "b.example") is None


def test_a_store_that_knows_nothing_of_a_host_leaves_it_anonymous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "store", "echo credentials not found in native keychain; exit 1", monkeypatch)
    assert credentials_of(configured(tmp_path, credsStore="store"), "a.example") is None


def test_a_helper_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "broken", "echo locked; exit 1", monkeypatch)
    with pytest.raises(RegistryError, match="docker-credential-broken gave no credentials; log in to"):
        credentials_of(configured(tmp_path, credsStore="broken"), "a.example")


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("a.example", "a.example"),
        ("https://a.example", "a.example"),
        ("https://a.example/v2/", "a.example"),
        ("a.example/v1/", "a.example"),
        ("https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_a_login_counts_however_a_client_wrote_its_host(tmp_path: Path, name: str, host: str) -> None:
    auths = {name: {"auth": base64.b64encode(b"user:password").decode()}}
    assert credentials_of(configured(tmp_path, auths=auths), host) == Credentials("user", "password")
    assert credentials_of(tmp_path, "example") is None


def test_a_configuration_without_logins_leaves_a_registry_anonymous(tmp_path: Path) -> None:
    assert credentials_of(configured(tmp_path, auths=None, credHelpers=None), "a.example") is None


@pytest.mark.parametrize("values", [{"auths": {"a.example": 3}}, {"auths": [1]}, {"credHelpers": 3}])
def test_a_configuration_of_another_form_is_named(tmp_path: Path, values: dict[str, object]) -> None:
    with pytest.raises(RegistryError, match=r"config.json: cannot be read .*docker login a.example again"):
        credentials_of(configured(tmp_path, **values), "a.example")


def test_a_helper_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"docker-credential-missing cannot be run .*; install it or log in"):
        credentials_of(configured(tmp_path, credsStore="missing"), "a.example")


def test_an_identity_token_is_changed_for_a_bearer_token(tmp_path: Path) -> None:
    forms = []

    def script(request: BaseHTTPRequestHandler) -> Answer:
        if request.path.startswith("/token"):
            body = request.rfile.read(int(request.headers["Content-Length"]))
            forms.append(parse_qs(body.decode()))
            return 200, {}, b'{"access_token": "bearer"}'
        if request.headers["Authorization"] != "Bearer bearer":
            realm = f"http://{request.headers['Host']}/token"
            return 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s",scope="repository:a:pull"'}, b""
        return 200, {}, b'{"tags": ["a"]}'

    with server(script) as (host, _):
        folder = configured(tmp_path, auths={host: {"identitytoken": "refresh"}})
        assert Registry.of_docker(host, folder).tags("a") == ["a"]
    assert forms[0]["grant_type"] == ["refresh_token"]
    assert (forms[0]["refresh_token"], forms[0]["scope"]) == (["refresh"], ["repository:a:pull"])


def test_an_ecr_host_gets_a_token_of_the_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = base64.b64encode(b"AWS:a token").decode()
    answer = {"authorizationData": [{"authorizationToken": token, "proxyEndpoint": f"https://{ECR}"}]}
    with server(lambda _: (200, {}, json.dumps(answer).encode())) as (host, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://{host}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        assert credentials_of(tmp_path, ECR) == Credentials("AWS", "a token")
        assert "GetAuthorizationToken" in seen[0].headers["X-Amz-Target"]
        assert "/eu-central-1/ecr/" in seen[0].headers["Authorization"]


def test_aws_that_gives_no_token_is_named_with_the_right_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refused = b'{"__type": "AccessDeniedException", "message": "no"}'
    with server(lambda _: (400, {}, refused)) as (host, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", f"http://{host}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        with pytest.raises(RegistryError, match=r"AWS gives no token for it .*needs ecr:GetAuthorizationToken"):
            credentials_of(tmp_path, ECR)


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Yield a proxy that answers every CONNECT with a refusal, and the first lines that it got."""
    seen: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                seen.append(client.recv(65536).split(b"\r\n")[0])
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_registry_off_loopback_is_reached_over_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as (host, seen):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{host}")
        with pytest.raises(RegistryError, match=r"registry registry\.invalid: "):
            Registry("registry.invalid").tags("a")
    assert seen[0].startswith(b"CONNECT registry.invalid:443 HTTP/1.")


def test_a_registry_on_loopback_is_reached_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, repository: str
) -> None:
    with proxy() as (host, seen):
        monkeypatch.setenv("HTTP_PROXY", f"http://{host}")
        assert registry.tags(repository) == []
    assert not seen
