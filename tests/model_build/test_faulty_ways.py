"""A push on whose way to the real registry each request in turn meets a fault, once or from then on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from model_build.errors import RegistryError
from model_build.oci import push as pushing
from model_build.oci import transport
from model_build.oci.image import Draft, Image, ImageConfig
from model_build.oci.layer import Contents, entries_layer
from model_build.oci.memory import Memory
from model_build.oci.mirrors import Source
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push, push_draft
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from tests.model_build.faulty import FAULTS, way
from tests.registry import running_registry

SIZE = 300_000
PLATFORM = "linux/amd64"
ALWAYS = 1_000_000


@pytest.fixture(autouse=True)
def _no_patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only where nothing answers is the wait long: a registry that is busy must not look like a fault elsewhere.
    callspec = getattr(request.node, "callspec", None)
    stalls = callspec is not None and callspec.params.get("fault") == "stall"
    monkeypatch.setattr(transport, "TIMEOUT", urllib3.Timeout(connect=5.0, read=0.5 if stalls else 30.0))
    monkeypatch.setattr(transport, "PAUSE_SECONDS", 0.05 if stalls else 0.0)
    monkeypatch.setattr(pushing, "OWN_LAYER_BYTES", SIZE)


@pytest.fixture
def draft(tmp_path: Path, registry: Registry, host: str, repository: str) -> Draft:
    """An image of a layer read as it is sent and one read before, on a base, under a tag that an older one has."""
    base = Image(PLATFORM, (entries_layer([Entry("base", repository.encode())]),))
    push(base, registry, f"{repository}-base")
    found = pull_base(registry, Reference(host, f"{repository}-base", digest=base.digest), PLATFORM)
    contents = []
    for name, size in (("weights", SIZE), ("bundle", SIZE // 3)):
        (tmp_path / name).write_bytes(os.urandom(size))
        contents.append(Contents.of([Entry(name, tmp_path / name)]))
    return Draft(PLATFORM, tuple(contents), ImageConfig(user="1:1"), found)


def repositories(repository: str) -> Iterator[str]:
    """Yield names of repositories that hold nothing, one a push."""
    yield from (f"{repository}-{number}" for number in range(ALWAYS))


def tried(draft: Draft, registry: Registry, repository: str, host: str, memory: Memory | None = None) -> str:
    """Push over `host`; return the error that it ended with, if any. Checks what the real registry holds by then."""
    old = push(Image(PLATFORM, (), ImageConfig(labels={"older": repository})), registry, repository, ["v1"])
    said = ""
    try:
        push_draft(draft, Target(Registry(host), repository, memory=memory), ["v1"])
    except RegistryError as error:
        said = str(error)
    tagged = registry.head(repository, "v1")
    assert tagged is not None
    # Where the last answer got lost an error may be told of a push that is whole.
    if not said or tagged.digest != old:
        whole(registry, repository, draft.read())
    assert not said or said.startswith(f"registry {host}: ")
    return said


def whole(registry: Registry, repository: str, image: Image) -> None:
    """Check that the tag names the image, and that every byte of it is there."""
    found = registry.get(repository, "v1")
    assert found is not None
    assert found.body == image.manifest_bytes
    for layer in image.layers:
        assert b"".join(registry.stream(repository, layer.digest)) == b"".join(layer.open())
    for one in image.draft.carried:
        assert registry.has_blob(repository, one.digest)
    assert registry.blob(repository, image.config_digest) == image.config_bytes


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_any_request_of_a_push_is_got_over(
    draft: Draft, registry: Registry, host: str, repository: str, fault: str
) -> None:
    names = repositories(f"{repository}-{fault}")
    with way(host) as (clean, counted):
        assert tried(draft, registry, next(names), clean) == ""
    assert len(counted.seen) >= 12
    for number in range(len(counted.seen)):
        with way(host, fault, number, number + 1) as (faulty, found):
            assert tried(draft, registry, next(names), faulty) == "", f"{fault} at {found.seen[number]}"


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_last_from_any_request_of_a_push_on_end_in_an_error_and_the_older_tag(
    draft: Draft, registry: Registry, host: str, repository: str, fault: str
) -> None:
    names = repositories(f"{repository}-{fault}")
    with way(host) as (clean, counted):
        assert tried(draft, registry, next(names), clean) == ""
    for number in range(0, len(counted.seen), 3):
        with way(host, fault, number, ALWAYS) as (faulty, _):
            said = tried(draft, registry, next(names), faulty)
            # A status that came through says that its request was done, whatever is missing after it.
            assert said or fault == "truncated"


@pytest.mark.parametrize("fault", ["cut-halfway", "lost", "503"])
def test_one_fault_at_any_request_of_a_push_of_known_digests_is_got_over(
    draft: Draft, registry: Registry, host: str, repository: str, fault: str
) -> None:
    memory = Memory(Path(str(draft.contents[0].entries[0].content)).with_name("memory"))
    for one in draft.contents:
        for path in (entry.content for entry in one.entries):
            assert isinstance(path, Path)
            os.utime(path, (1, 1))
    draft = Draft(draft.platform, tuple(Contents.of(one.entries) for one in draft.contents), draft.config, draft.base)
    names = repositories(f"{repository}-{fault}")
    assert tried(draft, registry, next(names), host, memory) == ""
    with way(host) as (clean, counted):
        assert tried(draft, registry, next(names), clean, memory) == ""
    assert not [one for one in counted.seen if one.startswith("PATCH")]
    for number in range(len(counted.seen)):
        with way(host, fault, number, number + 1) as (faulty, found):
            assert tried(draft, registry, next(names), faulty, memory) == "", f"{fault} at {found.seen[number]}"


@pytest.mark.parametrize("fault", ["cut", "truncated", "503"])
def test_one_fault_while_a_layer_of_a_base_comes_from_elsewhere_is_got_over(
    fault: str, host: str, registry: Registry, repository: str, tmp_path: Path
) -> None:
    base = Image(PLATFORM, (entries_layer([Entry("base", os.urandom(SIZE))]),))
    push(base, registry, repository)
    with running_registry(tmp_path / "elsewhere") as elsewhere, way(host, fault, 2, 3) as (between, faulty):
        source = Source((Registry(between),))
        found = pull_base(source, Reference(between, repository, digest=base.digest), PLATFORM)
        image = push_draft(Draft(PLATFORM, (), ImageConfig(), found), Target(Registry(elsewhere), "a", source))
        assert Registry(elsewhere).head("a", image.digest) is not None
    assert faulty.seen[2] == f"GET /v2/{repository}/blobs/{base.layers[0].digest}"


def test_a_layer_that_cannot_be_mounted_is_sent_at_once(host: str, repository: str, tmp_path: Path) -> None:
    image = Image(PLATFORM, (entries_layer([Entry("weights", os.urandom(SIZE))]),))
    memory = Memory(tmp_path / "memory")
    with way(host) as (between, faulty):
        memory.keep_place(between, image.layers[0].digest, f"{repository}-that-lost-it")
        push_draft(image.draft, Target(Registry(between), repository, memory=memory), layers=image.layers)
    methods = [one.partition(" ")[0] for one in faulty.seen if "/blobs/uploads/" in one]
    assert sorted(methods) == ["POST", "POST", "PUT", "PUT"]
    assert any("mount=" in one for one in faulty.seen)
