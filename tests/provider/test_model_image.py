"""ModelImage against a real registry: what a preview foretells, what `up` holds, what `destroy` leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.rpc import UNKNOWN

from provider.naming import previous_tag, stack_tag
from provider.registry import Repository
from tests.provider.conftest import Provider
from tests.registry import push

NAME = "modelstack/tiny"
OTHER = "stack-other-test-tiny-00000000"


@pytest.fixture
def repository(host: str, project: Path, request: pytest.FixtureRequest) -> Repository:
    """Return a repository that no other test uses."""
    name = f"{NAME}/{request.node.name[:100]}".replace("[", "-").replace("]", "").lower()
    return Repository(host, name, None, project)


@pytest.fixture
def checked(provider: Provider, inputs: dict[str, Any], repository: Repository) -> dict[str, Any]:
    checked, failures = provider.check(inputs | {"push": repository.host, "repository": repository.name})
    assert failures == {}
    return checked


@pytest.fixture
def digest(repository: Repository, checked: dict[str, Any]) -> str:
    """Push an image under the tag of the inputs, as an earlier build has."""
    return push(repository.host, repository.name, "first", f"inputs-{checked['inputsHash']}")


def test_a_preview_without_an_image_says_that_it_is_to_be_built_and_writes_nothing(
    provider: Provider, checked: dict[str, Any], repository: Repository
) -> None:
    _, outputs = provider.create(checked, preview=True)
    assert outputs["digest"] == UNKNOWN
    assert provider.engine.said() == "to be built (first build)"
    assert repository.tags() == []


def test_a_preview_with_an_image_of_the_same_inputs_tells_its_digest(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    _, outputs = provider.create(checked, preview=True)
    assert outputs["digest"] == digest
    assert outputs["image"] == f"{repository.host}/{repository.name}@{digest}"
    assert repository.tags() == [f"inputs-{checked['inputsHash']}"]


def test_the_tag_of_a_registry_beyond_this_machine_is_not_trusted(
    provider: Provider, checked: dict[str, Any], digest: str
) -> None:
    # TEST-NET-1: nothing is sent there, for the tag would not count.
    _, outputs = provider.create(checked | {"push": "192.0.2.1"}, preview=True)
    assert outputs["digest"] == UNKNOWN
    assert provider.engine.said() == "to be built (first build)"


def test_nodes_pull_from_the_pull_host(provider: Provider, checked: dict[str, Any], digest: str) -> None:
    _, outputs = provider.create(checked | {"pull": "registry.example:5000"}, preview=True)
    assert outputs["image"].startswith("registry.example:5000/")


def test_up_with_an_image_of_the_same_inputs_builds_nothing_and_holds_it(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    assert outputs["digest"] == digest
    assert identifier == f"{repository.host}/{repository.name}:{stack_tag(provider.urn)}"
    assert repository.digest(stack_tag(provider.urn)) == digest


def test_destroy_removes_the_image_with_its_last_holder(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    provider.delete(identifier, outputs)
    assert repository.tags() == []
    assert repository.digest(digest) is None


def test_destroy_leaves_an_image_that_another_stack_holds(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    repository.tag(digest, OTHER)
    provider.delete(identifier, outputs)
    assert repository.digest(digest) == digest
    assert sorted(repository.tags()) == [f"inputs-{checked['inputsHash']}", OTHER]


def test_destroy_of_an_image_that_is_gone_already_succeeds(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    repository.delete(digest)
    provider.delete(identifier, outputs)
    assert repository.tags() == []


def test_destroy_with_the_registry_down_is_one_clear_error(
    provider: Provider, checked: dict[str, Any], digest: str
) -> None:
    _, outputs = provider.create(checked)
    with pytest.raises(grpc.RpcError, match=r"127\.0\.0\.1:1") as caught:
        provider.delete("127.0.0.1:1/modelstack/tiny:stack-x", outputs)
    assert "\n" not in caught.value.details()


def change(provider: Provider, checked: dict[str, Any], project: Path, text: str) -> dict[str, Any]:
    (project / "tiny/model.py").write_text(text)
    own = ("recipe", "push", "repository", "base")
    after, failures = provider.check({key: checked[key] for key in own}, checked)
    assert failures == {}
    return after


def test_an_update_holds_the_new_image_and_the_one_that_old_pods_still_run(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str, project: Path
) -> None:
    identifier, outputs = provider.create(checked)
    news = change(provider, checked, project, "def build(): return 2\n")
    second = push(repository.host, repository.name, "second", f"inputs-{news['inputsHash']}")
    assert provider.update(identifier, outputs, news, preview=True)["digest"] == second
    assert provider.update(identifier, outputs, news)["digest"] == second
    tag = stack_tag(provider.urn)
    assert repository.digest(tag) == second
    assert repository.digest(previous_tag(tag)) == digest


def test_an_image_that_serves_outlives_two_changes_that_never_became_ready(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str, project: Path
) -> None:
    made = provider.create(checked)
    updated(provider, checked, repository, project, made=made, texts=("second", "third"))
    assert repository.digest(digest) == digest


def updated(
    provider: Provider,
    checked: dict[str, Any],
    repository: Repository,
    project: Path,
    *,
    made: tuple[str, dict[str, Any]],
    texts: tuple[str, ...],
) -> dict[str, Any]:
    """Change the model once for each text and return the last outputs."""
    identifier, outputs = made
    for text in texts:
        news = change(provider, checked, project, f"def build(): return {text!r}\n")
        push(repository.host, repository.name, text, f"inputs-{news['inputsHash']}")
        outputs = provider.update(identifier, outputs, news)
    return outputs


def test_an_image_goes_with_the_fourth_change_after_it_and_all_with_destroy(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str, project: Path
) -> None:
    identifier, outputs = provider.create(checked)
    texts = ("second", "third", "fourth", "fifth")
    outputs = updated(provider, checked, repository, project, made=(identifier, outputs), texts=texts)
    assert repository.digest(digest) is None
    provider.delete(identifier, outputs)
    assert repository.tags() == []


def test_an_update_whose_inputs_are_the_same_keeps_the_digest_without_a_look_at_the_tag(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    repository.untag(f"inputs-{checked['inputsHash']}")
    updated = provider.update(identifier, outputs, checked | {"pull": "registry.example"})
    assert updated["image"] == f"registry.example/{repository.name}@{digest}"


def test_refresh_keeps_an_image_that_is_there(provider: Provider, checked: dict[str, Any], digest: str) -> None:
    identifier, outputs = provider.create(checked)
    assert provider.read(identifier, checked, outputs) == (identifier, outputs)


def test_refresh_drops_an_image_that_is_gone(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    repository.delete(digest)
    assert provider.read(identifier, checked, outputs)[0] == ""


def test_refresh_with_the_registry_down_drops_nothing(provider: Provider, checked: dict[str, Any], digest: str) -> None:
    _, outputs = provider.create(checked)
    with pytest.raises(grpc.RpcError, match="127"):
        provider.read("127.0.0.1:1/modelstack/tiny:stack-x", checked, outputs)


def test_a_stack_tag_that_another_hand_removed_shows_as_a_change(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    repository.untag(stack_tag(provider.urn))
    _, refreshed = provider.read(identifier, checked, outputs)
    assert "tag" in provider.diff(refreshed, checked).detailedDiff
    provider.update(identifier, refreshed, checked)
    assert repository.digest(stack_tag(provider.urn)) == digest


def test_a_record_without_outputs_is_completed_from_the_registry(
    provider: Provider, checked: dict[str, Any], digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    known = {key: value for key, value in outputs.items() if key != "versions"}
    assert provider.read(identifier, checked, {}) == (identifier, known)


def test_a_record_without_outputs_of_an_image_nobody_pushed_is_dropped(
    provider: Provider, checked: dict[str, Any], repository: Repository
) -> None:
    tag = stack_tag(provider.urn)
    assert provider.read(f"{repository.host}/{repository.name}:{tag}", checked, {})[0] == ""


def test_the_state_lists_every_version_that_the_stack_had_the_latest_first(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str, project: Path
) -> None:
    made = provider.create(checked)
    outputs = updated(provider, checked, repository, project, made=made, texts=("second",))
    versions = outputs["versions"]
    assert [(one["digest"], one["inputs"]) for one in versions] == [
        (outputs["digest"], outputs["inputsHash"]),
        (digest, checked["inputsHash"]),
    ]
    assert versions[0]["at"] >= versions[1]["at"] > "2026"


def test_a_record_that_lists_no_version_goes_on_from_its_own(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str, project: Path
) -> None:
    identifier, outputs = provider.create(checked)
    del outputs["versions"]
    after = updated(provider, checked, repository, project, made=(identifier, outputs), texts=("second",))
    assert [one["digest"] for one in after["versions"]] == [after["digest"], digest]


def test_an_update_that_keeps_the_digest_lists_no_version_more(
    provider: Provider, checked: dict[str, Any], digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    updated = provider.update(identifier, outputs, checked | {"pull": "registry.example"})
    assert updated["versions"] == outputs["versions"]


def test_a_renamed_stack_lets_go_of_the_tag_it_holds_now(
    provider: Provider, checked: dict[str, Any], repository: Repository, digest: str
) -> None:
    identifier, outputs = provider.create(checked)
    provider.urn = provider.urn.replace("pulumi:", "pulumi:renamed-")
    outputs = provider.update(identifier, outputs, checked)
    _, found = provider.read(identifier, checked, outputs)
    assert found["tag"] == stack_tag(provider.urn)
    provider.delete(identifier, outputs)
    assert repository.tags() == []
