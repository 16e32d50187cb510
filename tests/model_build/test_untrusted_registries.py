"""Registries that send a client astray, and bases that are no images."""

import json

import pytest

from model_build.errors import RegistryError
from model_build.oci.descriptor import MANIFEST, digest_of
from model_build.oci.pull import pull_base
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.transport import Request, Transport
from model_build.oci.upload import put_blob

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
