"""Publishing: manifest, report and tag of a build, on the real registry."""

import json
from pathlib import Path

import pytest

from model_build.errors import RegistryError
from model_build.oci.descriptor import INDEX, MANIFEST
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import Entry, entries_layer
from model_build.oci.push import attach, fallback_tag, push
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.publish import REPORT_TYPE, Destination, publish, read_report

TAG = f"inputs-{'1' * 64}"


def image_of(text: str, platform: str = "linux/amd64") -> Image:
    return Image(platform, (entries_layer([Entry("weights", text.encode())]),), ImageConfig(user="65532:65532"))


@pytest.fixture
def destination(registry: Registry, repository: str) -> Destination:
    return Destination(registry, repository, registry, Reference(registry.host, "base", "v1"))


def published(images: list[Image], to: Destination, report: bytes = b"{}") -> tuple[str, bool]:
    return publish(images, to, TAG, report, lambda _done, _whole: None)


def test_the_inputs_tag_names_the_image_and_its_report_is_attached(destination: Destination) -> None:
    image = image_of("one")
    assert published([image], destination, b'{"accuracy": 0.98}') == (image.digest, True)
    found = destination.registry.head(destination.repository, TAG)
    assert found is not None
    assert found.digest == image.digest
    assert read_report(destination.registry, destination.repository, image.digest) == {"accuracy": 0.98}


def test_the_first_image_pushed_for_its_inputs_stays_the_one(destination: Destination) -> None:
    first, second = image_of("one machine"), image_of("another machine")
    published([first], destination)
    assert published([second], destination) == (first.digest, False)
    found = destination.registry.head(destination.repository, TAG)
    assert found is not None
    assert found.digest == first.digest


def test_an_image_published_again_keeps_its_first_report(destination: Destination) -> None:
    image = image_of("one")
    published([image], destination, b'{"seconds": 1}')
    published([image], destination, b'{"seconds": 2}')
    assert read_report(destination.registry, destination.repository, image.digest) == {"seconds": 1}


def test_a_report_never_changes_the_digest(destination: Destination, repository: str) -> None:
    image = image_of("one")
    elsewhere = Destination(destination.registry, f"{repository}-two", destination.source, destination.base)
    assert published([image], destination, b'{"seconds": 1}') == published([image], elsewhere, b'{"seconds": 2}')


def test_several_platforms_are_one_index(destination: Destination) -> None:
    images = [image_of("one"), image_of("one", "linux/arm64")]
    digest, _ = published(images, destination)
    found = destination.registry.get(destination.repository, TAG)
    assert found is not None
    assert found.digest == digest
    assert found.descriptor.media_type == INDEX
    listed = [(one["digest"], one["platform"]["architecture"]) for one in found.parsed["manifests"]]
    assert listed == [(images[0].digest, "amd64"), (images[1].digest, "arm64")]


class Interrupted(Registry):
    """A registry that cannot be reached any more when the tag is due."""

    def put(self, repository: str, reference: str, body: bytes, media_type: str = MANIFEST) -> str:
        if reference == TAG:
            raise RegistryError("gone")
        return super().put(repository, reference, body, media_type)


def test_a_publish_cut_off_before_its_tag_leaves_none_and_the_next_one_completes_it(destination: Destination) -> None:
    image = image_of("one")
    broken = Destination(
        Interrupted(destination.registry.host), destination.repository, destination.source, destination.base
    )
    with pytest.raises(RegistryError, match="gone"):
        published([image], broken)
    assert destination.registry.tags(destination.repository) == [fallback_tag(image.digest)]
    assert published([image], destination) == (image.digest, True)
    assert TAG in destination.registry.tags(destination.repository)


def test_an_image_without_a_report_has_none(destination: Destination) -> None:
    digest = push(image_of("one"), destination.registry, destination.repository)
    assert read_report(destination.registry, destination.repository, digest) is None


def test_a_report_that_is_no_json_is_named(destination: Destination) -> None:
    image = image_of("one")
    push(image, destination.registry, destination.repository)
    attach(destination.registry, destination.repository, image.descriptor, REPORT_TYPE, b"{")
    with pytest.raises(RegistryError, match=r"the report of .* is no JSON .*build again"):
        read_report(destination.registry, destination.repository, image.digest)


def test_a_report_is_stored_as_it_was_given(destination: Destination) -> None:
    told = {"metrics": {"accuracy": 0.98}, "steps": [{"name": "train", "seconds": 1.5}]}
    image = image_of("one")
    published([image], destination, json.dumps(told).encode())
    assert read_report(destination.registry, destination.repository, image.digest) == told


def test_a_push_target_with_a_tag_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(RegistryError, match=r"--push: .* names a tag or digest; write HOST/REPOSITORY alone"):
        Destination.of("127.0.0.1:1/a:v1", f"127.0.0.1:1/base@sha256:{'a' * 64}")
