"""Registries that send a client astray, bases that are no images, and what anybody may attach."""

import gzip
import json
import ssl
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from local import pki
from model_build.errors import RegistryError
from model_build.oci import exchange
from model_build.oci.descriptor import INDEX, MANIFEST, TAR, Descriptor, digest_of
from model_build.oci.hosts import Address
from model_build.oci.image import Base, Draft, ImageConfig
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push_draft
from model_build.oci.readback import read_back
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach, attach_layers, fallback_tag, referrers
from model_build.oci.registry import Registry
from model_build.oci.tar import CHUNK
from model_build.oci.transport import LARGEST_ANSWER, Request, Transport
from model_build.oci.upload import put_blob
from model_build.publish import REPORT_TYPE, read_report
from tests.model_build.test_registry_faults import BODY, DIGEST, SECRET, Answer, server
from tests.registry import push
from tests.signing import an_image

PLATFORM = "linux/amd64"
REMOTE = Request("GET", "https://registry.example/v2/a/blobs/b")


def put_manifest(registry: Registry, repository: str, config: bytes, **fields: object) -> Reference:
    """Store a manifest over `config`; `fields` replace its own."""
    described = put_blob(registry, repository, config)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described.json(), "layers": [], **fields}
    body = json.dumps(manifest).encode()
    return Reference(registry.host, repository, digest=registry.put(repository, digest_of(body), body))


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:8080/", "http://localhost/", "http://[::1]/", "http://x.example/"]
)
def test_a_registry_behind_tls_cannot_point_at_a_place_without_it(target: str) -> None:
    with pytest.raises(RegistryError, match="without TLS"):
        Transport("registry.example", None).followed(REMOTE, REMOTE.url, target)


def test_a_registry_cannot_point_at_a_file() -> None:
    with pytest.raises(RegistryError, match="without TLS"):
        Transport("127.0.0.1:1", None).followed(REMOTE, "http://127.0.0.1:1/", "file://127.0.0.1/etc/passwd")


def test_a_registry_behind_tls_may_point_at_its_storage_behind_tls() -> None:
    target = "https://storage.example/blob?signature=1"
    assert Transport("registry.example", None).followed(REMOTE, REMOTE.url, target) == target


@pytest.mark.parametrize("config", [b"not json", b"[]", b'{"os": "linux", "architecture": "amd64"}'])
def test_a_base_that_is_no_image_is_named(config: bytes, registry: Registry) -> None:
    base = put_manifest(registry, "tests/no-image", config)
    with pytest.raises(RegistryError, match=r"is no image .*; name an image for linux/amd64"):
        pull_base(registry, base, PLATFORM)


def test_a_base_whose_layers_and_diff_ids_differ_is_refused(registry: Registry, repository: str) -> None:
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [f"sha256:{'1' * 64}"]}}
    base = put_manifest(registry, repository, json.dumps(config).encode())
    with pytest.raises(RegistryError, match="has 0 layers and 1 diff ids; push it again"):
        pull_base(registry, base, PLATFORM)


OTHER = f"sha256:{'2' * 64}"


@pytest.mark.parametrize("named", [OTHER, "latest", f"sha512:{'2' * 128}", "sha256:../../x"])
def test_a_registry_that_answers_a_digest_with_another_is_refused(named: str) -> None:
    with server(lambda _: (200, {"Docker-Content-Digest": named}, BODY)) as (host, _):  # noqa: SIM117
        with pytest.raises(RegistryError, match=rf"HEAD /v2/a/manifests/{DIGEST} names .*; do not use that registry"):
            Registry(host).head("a", DIGEST)


def test_a_tag_that_names_no_digest_is_refused() -> None:
    with server(lambda _: (200, {"Docker-Content-Digest": "../../b"}, BODY)) as (host, _):  # noqa: SIM117
        with pytest.raises(RegistryError, match=r"names '\.\./\.\./b'; do not use that registry"):
            Registry(host).head("a", "v1")


def test_an_answer_over_the_limit_is_not_read_to_its_end() -> None:
    body = b" " * (LARGEST_ANSWER + 1)
    with (
        server(lambda _: (200, {}, body)) as (host, _),
        pytest.raises(RegistryError, match="answered with over 8388608"),
    ):
        Registry(host).get("a", DIGEST)


def test_an_answer_that_nobody_asked_to_be_packed_is_not_unpacked() -> None:
    packed = gzip.compress(BODY)
    with server(lambda _: (200, {"Content-Encoding": "gzip"}, packed)) as (host, _):
        registry = Registry(host)
        assert registry.get("a", digest_of(packed)) is not None
        assert registry.blob("a", digest_of(packed)) == packed


def tls_of(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "apiserver.crt", folder / "apiserver.key")
    return context


def test_a_host_that_a_registry_redirects_to_cannot_send_for_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    tls = tls_of(tmp_path)
    with server(lambda _: (200, {}, b'{"token": "t"}'), tls) as (thief, seen):
        asking = {"WWW-Authenticate": f'Bearer realm="https://{thief}/token"'}
        with server(lambda _: (401, asking, b""), tls) as (storage, _):
            moved = {"Location": f"https://{storage}/blob"}
            with server(lambda _: (307, moved, b""), tls) as (host, _):
                reached = Address(f"https://{host}", (tmp_path / "ca.crt",))
                with pytest.raises(RegistryError, match="was answered with 401"):
                    Registry(host, SECRET, reached).blob("a", DIGEST)
    assert seen == []


@pytest.mark.parametrize("url", ["http://[", "https://x:99999999/", "https://x:abc/"])
def test_what_is_no_url_is_named(url: str) -> None:
    with server(lambda _: (307, {"Location": url}, b"")) as (host, _), pytest.raises(RegistryError, match="leads to"):
        Registry(host).blob("a", DIGEST)
    challenge = {"WWW-Authenticate": f'Bearer realm="{url}"'}
    with server(lambda _: (401, challenge, b"")) as (host, _), pytest.raises(RegistryError, match="the token service"):
        Registry(host).blob("a", DIGEST)


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'{"tags": 3, "manifests": "a"}'])
def test_a_list_that_is_none_is_named(body: bytes) -> None:
    with server(lambda _: (200, {}, body)) as (host, _):
        with pytest.raises(RegistryError, match="was answered with no list"):
            Registry(host).tags("a")
        with pytest.raises(RegistryError, match="was answered with no list"):
            referrers(Registry(host), "a", DIGEST)


def test_a_list_goes_on_where_its_link_says_at_the_host_that_was_asked() -> None:
    def script(request: BaseHTTPRequestHandler) -> Answer:
        if "next_page=opaque" in request.path:
            return 200, {}, b'{"tags": ["a"]}'
        further = '<http://registry.internal/v2/a/tags/list?next_page=opaque>; rel="next"'
        return 200, {"Link": further}, b'{"tags": ["b"]}'

    with server(script) as (host, _):
        assert Registry(host).tags("a") == ["a", "b"]


def test_every_page_of_referrers_is_read() -> None:
    def script(request: BaseHTTPRequestHandler) -> Answer:
        last = "last" in request.path
        listed = [{"mediaType": MANIFEST, "digest": OTHER if last else DIGEST, "size": 1}]
        further = {} if last else {"Link": f"<{request.path}?last=1>; rel=next"}
        return 200, further, json.dumps({"manifests": listed}).encode()

    with server(script) as (host, _):
        assert [one.digest for one in referrers(Registry(host), "a", DIGEST)] == [DIGEST, OTHER]


def test_a_list_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_PAGES", 3)
    endless = {"Link": "</v2/a/tags/list?last=a>; rel=next"}
    with server(lambda _: (200, endless, b'{"tags": ["a"]}')) as (host, seen):
        with pytest.raises(RegistryError, match="has over 3 pages"):
            Registry(host).tags("a")
        assert len(seen) == 4


AMD64 = {"os": "linux", "architecture": "amd64"}


@pytest.mark.parametrize(
    "index", [[], {}, {"manifests": [3]}, {"manifests": [{"platform": AMD64}]}, {"manifests": [{"digest": "latest"}]}]
)
def test_an_index_that_is_none_is_named(index: object) -> None:
    body = json.dumps(index).encode()
    with server(lambda _: (200, {"Content-Type": INDEX}, body)) as (host, _), pytest.raises(RegistryError) as caught:
        pull_base(Registry(host), Reference(host, "a", digest=digest_of(body)), PLATFORM)
    assert "is no " in str(caught.value)


def test_an_index_is_read_for_the_processor_that_asks_for_least(registry: Registry, repository: str) -> None:
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}}
    listed = []
    for variant in ("v3", None):
        base = put_manifest(registry, repository, json.dumps({**config, "variant": variant}).encode())
        told = {**AMD64, **({"variant": variant} if variant else {})}
        listed.append({"mediaType": MANIFEST, "digest": base.digest, "size": 1, "platform": told})
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
    registry.put(repository, "v1", body, INDEX)
    assert pull_base(registry, Reference(registry.host, repository, "v1"), PLATFORM).config["variant"] is None


def test_a_manifest_that_names_no_digests_is_not_read_back() -> None:
    body = json.dumps({"layers": [{"mediaType": "a", "digest": "../manifests/v1", "size": 1}]}).encode()
    with server(lambda _: (200, {}, body)) as (host, _), pytest.raises(RegistryError, match="is no manifest"):
        read_back(Registry(host), "a", digest_of(body))


def test_a_report_that_anybody_attached_without_content_is_passed_over(registry: Registry, repository: str) -> None:
    image = an_image(registry, repository)
    attach(registry, repository, image.descriptor, REPORT_TYPE, b'{"made": "here"}')
    attach_layers(registry, repository, image.descriptor, REPORT_TYPE, [])
    assert read_report(registry, repository, image.digest) == {"made": "here"}


def test_an_image_under_a_fallback_tag_stays_when_something_is_attached(registry: Registry, repository: str) -> None:
    image = an_image(registry, repository)
    planted = push(registry.host, repository, "another", fallback_tag(image.digest))
    attach(registry, repository, image.descriptor, REPORT_TYPE, b"{}")
    assert registry.head(repository, planted) is not None
    assert len(referrers(registry, repository, image.digest)) == 1


def test_a_layer_of_a_base_that_is_longer_than_its_manifest_says_is_not_read_to_its_end(
    registry: Registry, repository: str
) -> None:
    told = Descriptor(TAR, DIGEST, len(BODY))
    with server(lambda _: (200, {}, BODY + b" " * 3 * CHUNK)) as (host, _):
        base = Base(Reference(host, "a"), (told,), {})
        with pytest.raises(RegistryError, match=rf"{DIGEST} is longer than the {len(BODY)} bytes"):
            push_draft(Draft(PLATFORM, (), ImageConfig(), base), Target(registry, repository))


def test_a_number_that_nobody_could_mean_is_none() -> None:
    endless = "9" * 5000
    opened = {"Location": "/upload", "OCI-Chunk-Min-Length": endless}
    with server(lambda _: (202, opened, b"")) as (host, _):
        assert Registry(host).uploads.begin("a").least == 0


def test_a_report_that_went_or_is_too_large_is_passed_over(registry: Registry, repository: str) -> None:
    image = an_image(registry, repository)
    attach(registry, repository, image.descriptor, REPORT_TYPE, b'{"made": "here"}')
    attach(registry, repository, image.descriptor, REPORT_TYPE, b" " * (LARGEST_ANSWER + 1))
    registry.delete(repository, attach(registry, repository, image.descriptor, REPORT_TYPE, b"{}"))
    assert read_report(registry, repository, image.digest) == {"made": "here"}
