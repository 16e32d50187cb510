import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_build.errors import DataError, RegistryError
from model_build.oci.descriptor import digest_of
from model_build.oci.image import Base, Draft, Image, ImageConfig
from model_build.oci.layer import Contents, Layer, entries_layer
from model_build.oci.mirrors import Source
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push, push_draft
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach, attached, fallback_tag, referrers
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from tests.registry import running_registry

PLATFORM = "linux/amd64"
REPORT = "application/vnd.example.report"


def image_of(*texts: str) -> Image:
    layers = tuple(entries_layer([Entry(f"file-{number}", text.encode())]) for number, text in enumerate(texts))
    return Image(PLATFORM, layers, ImageConfig(user="65532:65532", env={"A": "b"}, entrypoint=("/run",)))


def test_a_pushed_image_is_there_by_digest_and_tag(registry: Registry, repository: str) -> None:
    image = image_of("one", "two")
    digest = push(image, registry, repository, ["v1", "v2"])
    assert digest == image.digest == digest_of(image.manifest_bytes)
    for name in (digest, "v1", "v2"):
        found = registry.get(repository, name)
        assert found is not None
        assert found.body == image.manifest_bytes
    assert registry.tags(repository) == ["v1", "v2"]


def test_every_blob_of_a_pushed_image_can_be_read_back(registry: Registry, repository: str) -> None:
    image = image_of("one", "two")
    push(image, registry, repository)
    assert registry.blob(repository, digest_of(image.config_bytes)) == image.config_bytes
    for layer in image.layers:
        assert registry.blob(repository, layer.digest) == b"".join(layer.open())


class Unread(Contents):
    """Contents that fail where they are sent."""

    def open(self, start: int = 0) -> Iterator[bytes]:  # noqa: ARG002
        raise AssertionError("a layer that is there was sent again")


def test_a_layer_that_is_there_is_not_sent_again(registry: Registry, repository: str) -> None:
    image = image_of("one")
    push(image, registry, repository)
    more = image_of("one", "two")
    one, two = more.layers
    unread = Unread(one.contents.entries, one.size, one.contents.identity)
    same = Image(PLATFORM, (Layer(one.digest, unread), two), image.config)
    assert push(same, registry, repository, ["again"]) == more.digest


class Broken(Contents):
    """Contents whose bytes changed after their digest was taken."""

    def open(self, start: int = 0) -> Iterator[bytes]:
        yield b"x" * (self.size - start)


def test_an_image_with_a_layer_that_cannot_be_pushed_gets_no_tag(registry: Registry, repository: str) -> None:
    good = image_of("one", "two")
    last = good.layers[1]
    contents = Broken(last.contents.entries, last.size, last.contents.identity)
    broken = Image(PLATFORM, (good.layers[0], Layer(last.digest, contents)), good.config)
    with pytest.raises(DataError, match="changed their bytes but neither size nor time"):
        push(broken, registry, repository, ["v1"])
    assert registry.tags(repository) == []
    assert registry.head(repository, broken.digest) is None


def test_an_image_on_a_base_of_the_same_registry_mounts_its_layers(registry: Registry, repository: str) -> None:
    base = image_of("base")
    push(base, registry, f"{repository}-base", ["v1"])
    found = pull_base(registry, Reference(registry.host, f"{repository}-base", digest=base.digest), PLATFORM)
    image = Image(PLATFORM, image_of("own").layers, ImageConfig(env={"C": "d"}), found)
    push(image, registry, repository)
    assert [one.digest for one in found.layers] == [base.layers[0].digest]
    assert registry.has_blob(repository, base.layers[0].digest)


def test_an_image_on_a_base_of_another_registry_copies_its_layers(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    with running_registry(tmp_path) as elsewhere:
        other = Registry(elsewhere)
        base = image_of("base elsewhere")
        push(base, other, "base", ["v1"])
        found = pull_base(other, Reference(elsewhere, "base", "v1"), PLATFORM)
        push_draft(Draft(PLATFORM, (), ImageConfig(), found), Target(registry, repository, Source((other,))))
    layer = base.layers[0]
    assert registry.blob(repository, layer.digest) == b"".join(layer.open())


def test_an_image_keeps_its_bases_variables_and_adds_its_own(registry: Registry, repository: str) -> None:
    push(image_of("base"), registry, repository, ["base"])
    found = pull_base(registry, Reference(registry.host, repository, "base"), PLATFORM)
    image = Image(PLATFORM, image_of("own").layers, ImageConfig(env={"C": "d"}, user="1:1"), found)
    told = json.loads(image.config_bytes)
    assert told["config"]["Env"] == ["A=b", "C=d"]
    assert told["config"]["User"] == "1:1"
    assert len(told["rootfs"]["diff_ids"]) == 2


def test_an_image_stops_and_keeps_its_volumes_as_its_base_does() -> None:
    inherited = {"StopSignal": "SIGQUIT", "Volumes": {"/data": {}}}
    base = Base(Reference("a.example", "base"), (), {"config": inherited})
    config = json.loads(Image(PLATFORM, (), ImageConfig(user="1:1"), base).config_bytes)["config"]
    assert config == {"User": "1:1", **inherited}
    own = Image(PLATFORM, (), ImageConfig(stop_signal="SIGUSR1"), base)
    assert json.loads(own.config_bytes)["config"]["StopSignal"] == "SIGUSR1"


def test_a_base_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="nothing/here:v1 is not there; push it"):
        pull_base(registry, Reference(registry.host, "nothing/here", "v1"), PLATFORM)


def test_a_base_for_another_platform_is_refused(registry: Registry, repository: str) -> None:
    push(image_of("base"), registry, repository, ["base"])
    with pytest.raises(RegistryError, match="is for linux/amd64, wanted is linux/arm64"):
        pull_base(registry, Reference(registry.host, repository, "base"), "linux/arm64")


def test_what_is_attached_is_found_by_type_under_the_fallback_tag(registry: Registry, repository: str) -> None:
    image = image_of("one")
    push(image, registry, repository)
    attach(registry, repository, image.descriptor, REPORT, b'{"a":1}')
    attach(registry, repository, image.descriptor, "application/vnd.example.other", b'{"b":1}')
    found = referrers(registry, repository, image.digest, REPORT)
    assert [attached(registry, repository, one.digest) for one in found] == [b'{"a":1}']
    assert fallback_tag(image.digest) in registry.tags(repository)
    assert len(referrers(registry, repository, image.digest)) == 2


def test_a_list_of_referrers_that_was_replaced_is_removed(registry: Registry, repository: str) -> None:
    image = image_of("one")
    push(image, registry, repository)
    attach(registry, repository, image.descriptor, REPORT, b"{}")
    first = registry.head(repository, fallback_tag(image.digest))
    attach(registry, repository, image.descriptor, "application/vnd.example.other", b"{}")
    assert first is not None
    assert registry.head(repository, first.digest) is None


def test_attaching_the_same_again_lists_it_once(registry: Registry, repository: str) -> None:
    image = image_of("one")
    push(image, registry, repository)
    for _ in range(2):
        attach(registry, repository, image.descriptor, REPORT, b"{}")
    assert len(referrers(registry, repository, image.digest)) == 1


def test_a_tag_is_removed_alone(registry: Registry, repository: str) -> None:
    image = image_of("one")
    push(image, registry, repository, ["a", "b"])
    assert registry.untag(repository, "a")
    assert registry.tags(repository) == ["b"]
    assert registry.head(repository, image.digest) is not None


def test_a_manifest_goes_with_all_its_tags(registry: Registry, repository: str) -> None:
    image = image_of("one")
    push(image, registry, repository, ["a", "b"])
    assert registry.delete(repository, image.digest)
    assert registry.head(repository, "a") is None
    assert not registry.delete(repository, image.digest)
