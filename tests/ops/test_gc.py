"""What `ops gc` takes for held and for free, in a real registry."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from model_build.bake import RUNTIME_LABEL
from model_build.oci.descriptor import INDEX, MANIFEST, digest_of
from model_build.oci.image import Image, ImageConfig
from model_build.oci.push import push as push_image
from model_build.oci.referrers import attach, fallback_tag, referrers
from model_build.oci.registry import Registry
from ops.__main__ import main
from ops.gc import InStates, find, named, removed
from provider.naming import STACK_PREFIX
from provider.registry import Repository
from tests.registry import push

INPUTS = f"inputs-{'0' * 64}"


def naming(*digests: str) -> InStates:
    """Return states that name `digests` in every repository."""
    return lambda _: frozenset(digests)


NONE = naming()
HELD = f"{STACK_PREFIX}shop-dev"


@pytest.fixture
def place(host: str, request: pytest.FixtureRequest) -> Repository:
    """A repository of its own for each test."""
    return Repository(host, f"gc/{re.sub('[^a-z0-9]+', '-', request.node.name)[:90].strip('-')}", None, Path.cwd())


def test_an_image_that_only_its_inputs_name_is_free(place: Repository) -> None:
    digest = push(place.host, place.name, "one", INPUTS)
    found = find(place, NONE)
    assert [(one.digest, one.tags) for one in found] == [(digest, (INPUTS,))]
    assert found[0].size > 0


def test_a_runtime_image_that_no_stack_mounts_weights_into_is_free(place: Repository) -> None:
    digest = push(place.host, place.name, "one", f"runtime-{'1' * 64}")
    assert [one.digest for one in find(place, NONE)] == [digest]


def test_an_image_that_a_stack_holds_stays(place: Repository) -> None:
    push(place.host, place.name, "one", INPUTS, f"{STACK_PREFIX}shop-dev-digits-12345678-previous-2")
    assert find(place, NONE) == []


def test_an_image_that_a_state_names_stays_although_its_tag_is_gone(place: Repository) -> None:
    digest = push(place.host, place.name, "one", INPUTS)
    assert find(place, naming(digest)) == []


def test_an_image_with_a_tag_of_somebody_elses_stays(place: Repository) -> None:
    push(place.host, place.name, "one", INPUTS, "v1.2")
    assert find(place, NONE) == []


def test_what_never_was_an_image_of_a_build_stays(place: Repository) -> None:
    push(place.host, place.name, "one", "latest")
    push(place.host, place.name, "two")
    assert find(place, NONE) == []


def indexed(place: Repository, tag: str, *contents: str) -> tuple[str, list[str]]:
    """Push an index of images under a tag; returns its digest and theirs."""
    registry = Registry(place.host)
    listed = [(one, push(place.host, place.name, one)) for one in contents]
    manifests = [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1} for _, digest in listed
    ]
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
    registry.put(place.name, tag, body, INDEX)
    return digest_of(body), [digest for _, digest in listed]


def test_an_image_inside_an_index_that_a_stack_holds_stays(place: Repository) -> None:
    _, children = indexed(place, f"{STACK_PREFIX}shop-dev", "amd", "arm")
    Repository(place.host, place.name, None, place.project).tag(children[0], INPUTS)
    assert find(place, NONE) == []


def test_a_removed_index_takes_its_images_along_but_those_that_another_names(place: Repository) -> None:
    free, alone = indexed(place, INPUTS, "amd", "arm")
    _, shared = indexed(place, f"{STACK_PREFIX}shop-dev", "amd")
    assert [one.digest for one in find(place, NONE)] == [free]
    place.delete(free)
    assert place.digest(shared[0]) == alone[0]
    assert place.digest(alone[1]) is None


def test_a_removed_image_takes_what_is_attached_to_it_along(place: Repository) -> None:
    registry = Registry(place.host)
    image = Image("linux/amd64", (), ImageConfig(labels={"content": "attached"}))
    push_image(image, registry, place.name, [INPUTS])
    attach(registry, place.name, image.descriptor, "application/vnd.example.report", b"{}")
    attachment = referrers(registry, place.name, image.digest)[0].digest
    assert [one.digest for one in find(place, NONE)] == [image.digest]
    place.delete(image.digest)
    assert place.tags() == []
    assert place.digest(attachment) is None


def of(**outputs: Any) -> dict[str, object]:
    """Return a state with one resource of these outputs."""
    return {"deployment": {"resources": [{"type": "any:index:Thing", "outputs": outputs}]}}


ONE, OTHER = (f"sha256:{digit * 64}" for digit in "12")


@pytest.mark.parametrize(
    "image",
    [
        f"registry.example:5000/modelstack/digits@{ONE}",
        f"other.example/modelstack/digits:v1@{ONE}",
        f"mirror.example/cache/modelstack/digits@{ONE}",
    ],
)
def test_a_digest_that_a_state_names_is_held_in_that_repository_at_any_host(image: str) -> None:
    assert named([of(image=image, digest=ONE)], "modelstack/digits") == {ONE}
    assert named([of(image=image, digest=ONE)], "modelstack/mnist") == frozenset()


def test_a_digest_that_is_named_in_no_repository_is_held_in_every_one() -> None:
    state = of(image=f"registry.example/modelstack/digits@{ONE}", digest=OTHER)
    assert named([state], "modelstack/mnist") == {OTHER}


def test_a_version_that_a_stack_ran_once_is_held_no_more() -> None:
    state = of(image=f"registry.example/modelstack/digits@{ONE}", versions=[{"digest": ONE}, {"digest": OTHER}])
    assert named([state], "modelstack/digits") == {ONE}


def test_what_an_interrupted_operation_names_is_held() -> None:
    begun = {"type": "creating", "resource": {"outputs": {"image": f"registry.example/digits@{ONE}"}}}
    assert named([{"deployment": {"pending_operations": [begun]}}], "digits") == {ONE}


def test_a_repository_that_is_not_there_is_an_error_and_not_an_empty_list(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {modelstack:cluster: {kubeconfig: mine}}")
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho '[]'\n")
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["gc", "--repository", f"{host}/no/such"]) == 2
    assert f"--repository: {host}/no/such is not there or holds nothing; correct" in capsys.readouterr().err


def test_a_held_image_that_is_listed_as_attached_to_a_free_one_stays(place: Repository) -> None:
    free, held = push(place.host, place.name, "free", INPUTS), push(place.host, place.name, "held", HELD)
    listed = {"mediaType": MANIFEST, "digest": held, "size": 1, "artifactType": "application/vnd.example.report"}
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}).encode()
    Registry(place.host).put(place.name, fallback_tag(free), body, INDEX)
    assert [one.digest for one in removed([place], find(place, NONE), NONE)] == [free]
    assert (place.digest(free), place.digest(HELD)) == (None, held)


@pytest.mark.parametrize("suffix", ["", ".sig", ".att"])
def test_a_held_image_under_a_tag_for_what_is_attached_to_a_free_one_stays(place: Repository, suffix: str) -> None:
    free = push(place.host, place.name, "free", INPUTS)
    held = push(place.host, place.name, "held", HELD, f"{fallback_tag(free)}{suffix}")
    assert [one.digest for one in removed([place], find(place, NONE), NONE)] == [free]
    assert place.digest(HELD) == held


def test_an_image_of_a_removed_index_that_a_state_names_stays(place: Repository) -> None:
    free, (amd, arm) = indexed(place, INPUTS, "amd", "arm")
    states = naming(amd)
    assert [one.digest for one in removed([place], find(place, states), states)] == [free]
    assert (place.digest(amd), place.digest(arm)) == (amd, None)


def test_an_image_inside_an_index_without_a_tag_that_a_state_names_stays(place: Repository) -> None:
    index, children = indexed(place, "v1", "amd", "arm")
    place.tag(children[0], INPUTS)
    place.untag("v1")
    assert find(place, naming(index)) == []


def test_a_runtime_image_that_held_weights_go_into_stays(place: Repository) -> None:
    runtime = push(place.host, place.name, "runtime", f"runtime-{'1' * 64}")
    weights = Image("linux/amd64", (), ImageConfig(labels={RUNTIME_LABEL: runtime}))
    push_image(weights, Registry(place.host), place.name, ["v1.2"])
    assert find(place, NONE) == []


def test_an_image_that_a_stack_took_hold_of_since_it_was_shown_stays(place: Repository) -> None:
    digest = push(place.host, place.name, "one", INPUTS)
    shown = find(place, NONE)
    place.tag(digest, HELD)
    assert list(removed([place], shown, NONE)) == []
    assert place.digest(HELD) == digest
