"""An image brought from one repository to another, in a real registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from model_build.errors import RegistryError
from model_build.oci.descriptor import INDEX, digest_of
from model_build.oci.image import Image, ImageConfig
from model_build.oci.push import push as push_image
from model_build.oci.referrers import attach, attached, referrers
from model_build.oci.registry import Registry
from model_build.oci.upload import put_blob
from model_build.oci.uploads import Place, Uploads
from provider.registry import Repository
from tests.registry import push

KIND = "application/vnd.example.report"


def copy(registry: Registry, source: str, target: str, digest: str) -> None:
    Repository(registry.host, target, None, Path.cwd()).copy(source, digest)


@pytest.fixture
def places(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return two repositories of the test's own."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name)[:80].strip("-")
    return f"from/{name}", f"to/{name}"


def test_an_image_is_whole_in_the_other_repository(host: str, places: tuple[str, str]) -> None:
    source, target = places
    registry = Registry(host)
    image = Image("linux/amd64", (), ImageConfig(labels={"content": "whole"}))
    digest = push_image(image, registry, source)
    copy(registry, source, target, digest)
    found = registry.get(target, digest)
    assert found is not None
    assert registry.blob(target, found.parsed["config"]["digest"]) == image.config_bytes
    assert registry.tags(target) == []


def test_an_index_takes_its_images_along(host: str, places: tuple[str, str]) -> None:
    source, target = places
    registry = Registry(host)
    children = [push(host, source, one) for one in ("amd", "arm")]
    listed = [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": one, "size": 1} for one in children]
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
    registry.put(source, digest_of(body), body, INDEX)
    copy(registry, source, target, digest_of(body))
    assert all(registry.head(target, one) for one in (*children, digest_of(body)))


def test_what_is_attached_comes_along_and_is_listed(host: str, places: tuple[str, str]) -> None:
    source, target = places
    registry = Registry(host)
    image = Image("linux/amd64", (), ImageConfig(labels={"content": "attached"}))
    digest = push_image(image, registry, source)
    attach(registry, source, image.descriptor, KIND, b"the report")
    for _ in range(2):  # a second copy adds nothing
        copy(registry, source, target, digest)
        (found,) = referrers(registry, target, digest, KIND)
        assert attached(registry, target, found.digest) == b"the report"


def test_blobs_are_sent_where_the_registry_mounts_none(
    host: str, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = places
    registry = Registry(host)
    digest = push(host, source, "sent")

    def refused(own: Uploads, repository: str, _digest: str, _source: str) -> Place:
        return own.begin(repository)

    monkeypatch.setattr(Uploads, "mount", refused)
    copy(registry, source, target, digest)
    assert registry.head(target, digest) is not None


def test_an_image_that_is_not_there_is_one_error(host: str, places: tuple[str, str]) -> None:
    source, target = places
    with pytest.raises(RegistryError, match="is not there; push it"):
        copy(Registry(host), source, target, f"sha256:{'0' * 64}")


def test_a_manifest_that_is_malformed_is_one_error(host: str, places: tuple[str, str]) -> None:
    source, target = places
    registry = Registry(host)
    config = put_blob(registry, source, b"{}")
    layer = {"mediaType": "text/plain", "digest": config.digest, "size": config.size}
    body = json.dumps(
        {"schemaVersion": 2, "config": {**layer}, "layers": [{"digest": config.digest, "size": 1}]}
    ).encode()
    registry.put(source, "odd", body)
    with pytest.raises(RegistryError, match="is no manifest"):
        copy(registry, source, target, digest_of(body))
