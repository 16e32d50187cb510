"""A model that is pinned to an image, against a real registry: nothing is built, whatever the recipe says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN

from model_build.bake import INPUTS_LABEL
from model_build.oci.image import Image, ImageConfig
from model_build.oci.push import push as push_image
from model_build.oci.referrers import attach
from model_build.oci.registry import Registry
from model_build.publish import REPORT_TYPE
from model_build.supply.attestations import Attestations
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from provider.naming import stack_tag
from provider.registry import Repository
from tests.provider.conftest import Provider
from tests.registry import push
from tests.signing import a_key, some_contents

OWN = ("recipe", "push", "repository", "base", "publicKeys")
METRICS = {"accuracy": 0.9}
Stacked = tuple[str, dict[str, Any]]


@pytest.fixture
def repository(host: str, project: Path, request: pytest.FixtureRequest) -> Repository:
    """Return a repository that no other test uses."""
    name = f"pinned/{request.node.name[:100]}".replace("[", "-").replace("]", "").lower()
    return Repository(host, name, None, project)


@pytest.fixture
def given(inputs: dict[str, Any], repository: Repository) -> dict[str, Any]:
    return inputs | {"push": repository.host, "repository": repository.name}


@pytest.fixture
def first(provider: Provider, given: dict[str, Any], repository: Repository) -> Subject:
    """The image of the inputs as they are, with its report, which a later change leaves behind."""
    checked, _ = provider.check(given)
    report = {"inputs": checked["inputsHash"], "parts": checked["parts"], "recipe": checked["parsed"]}
    return pushed(repository, report | {"metrics": METRICS})


def pushed(repository: Repository, report: dict[str, Any]) -> Subject:
    registry = Registry(repository.host)
    labels = {INPUTS_LABEL: str(report["inputs"])}
    tags = [f"inputs-{report['inputs']}"]
    digest = push_image(Image("linux/amd64", (), ImageConfig(labels=labels)), registry, repository.name, tags)
    subject = repository.subject(digest)
    body = json.dumps(report).encode()
    attach(registry, repository.name, subject.descriptor, REPORT_TYPE, body, media_type=REPORT_TYPE)
    return subject


@pytest.fixture
def second(provider: Provider, given: dict[str, Any], first: Subject, project: Path) -> tuple[str, dict[str, Any]]:
    """The stack with the image of a changed model: id and outputs."""
    (project / "tiny/model.py").write_text("def build(): return 2\n")
    news, failures = provider.check(given)
    assert failures == {}
    push(str(given["push"]), str(given["repository"]), "second", f"inputs-{news['inputsHash']}")
    return provider.create(news)


def pinned(provider: Provider, given: dict[str, Any], olds: dict[str, Any], pin: str) -> dict[str, Any]:
    news, failures = provider.check(given | {"pin": pin}, {key: olds[key] for key in olds})
    assert failures == {}
    return news


def test_a_pin_shows_in_a_preview_and_up_takes_the_image(
    provider: Provider, given: dict[str, Any], first: Subject, second: Stacked
) -> None:
    identifier, outputs = second
    news = pinned(provider, given, outputs, first.digest)
    assert "pin" in provider.diff(outputs, news).detailedDiff
    foretold = provider.update(identifier, outputs, news, preview=True)
    assert (foretold["digest"], foretold["metrics"]) == (first.digest, METRICS)
    assert "is pinned, whatever the recipe says" in provider.engine.said()
    after = provider.update(identifier, outputs, news)
    assert after["digest"] == first.digest
    assert after["inputsHash"] != outputs["inputsHash"]
    assert [one["digest"] for one in after["versions"]] == [first.digest, outputs["digest"]]


def test_a_pinned_stack_shows_no_change(
    provider: Provider, given: dict[str, Any], first: Subject, second: Stacked
) -> None:
    identifier, outputs = second
    after = provider.update(identifier, outputs, pinned(provider, given, outputs, first.digest))
    again = pinned(provider, given, after, first.digest)
    assert provider.diff(after, again).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_without_the_pin_the_recipe_counts_again(
    provider: Provider, given: dict[str, Any], first: Subject, second: Stacked
) -> None:
    identifier, outputs = second
    after = provider.update(identifier, outputs, pinned(provider, given, outputs, first.digest))
    news, _ = provider.check(given, after)
    assert news["reason"] == "model sources changed"
    assert provider.update(identifier, after, news)["digest"] == outputs["digest"]


def test_the_stack_holds_the_image_that_it_is_pinned_to(
    provider: Provider,
    given: dict[str, Any],
    first: Subject,
    second: Stacked,
    repository: Repository,
) -> None:
    identifier, outputs = second
    provider.update(identifier, outputs, pinned(provider, given, outputs, first.digest))
    assert repository.digest(stack_tag(provider.urn)) == first.digest


def test_a_pin_of_an_image_that_is_not_there_is_one_failure(provider: Provider, given: dict[str, Any]) -> None:
    _, failures = provider.check(given | {"pin": f"sha256:{'0' * 64}"})
    assert list(failures) == ["pin"]
    assert "is not there; pin a version" in failures["pin"]


def test_a_pin_that_is_no_digest_is_one_failure(provider: Provider, given: dict[str, Any]) -> None:
    _, failures = provider.check(given | {"pin": "v1"})
    assert failures == {"pin": "pin: 'v1' must be a digest, as `sha256:` and 64 hex digits"}


def test_a_pin_of_an_image_without_a_report_is_refused(
    provider: Provider, given: dict[str, Any], repository: Repository
) -> None:
    digest = push(repository.host, repository.name, "strange")
    _, failures = provider.check(given | {"pin": digest})
    assert "has no report of its build" in failures["pin"]


def test_a_pin_of_an_image_for_another_server_is_refused(
    provider: Provider, given: dict[str, Any], repository: Repository
) -> None:
    checked, _ = provider.check(given)
    recipe = {**checked["parsed"], "runtime": {"name": "triton"}}
    image = pushed(repository, {"inputs": "7" * 64, "recipe": recipe, "metrics": METRICS})
    _, failures = provider.check(given | {"pin": image.digest})
    assert "is tiny for triton, the recipe asks for tiny for onnxruntime" in failures["pin"]


def test_a_registry_that_is_away_leaves_a_new_pin_unknown_until_up(provider: Provider, inputs: dict[str, Any]) -> None:
    checked, failures = provider.check(inputs | {"pin": f"sha256:{'0' * 64}"})
    assert failures == {}
    assert checked["inputsHash"] == UNKNOWN
    with pytest.raises(grpc.RpcError, match="a value is still unknown during `up`"):
        provider.create(checked)


def test_a_pinned_image_that_went_since_is_one_error_and_nothing_is_built(
    provider: Provider,
    given: dict[str, Any],
    first: Subject,
    second: Stacked,
    repository: Repository,
) -> None:
    identifier, outputs = second
    news = pinned(provider, given, outputs, first.digest)
    repository.delete(first.digest)
    for preview in (True, False):
        with pytest.raises(grpc.RpcError, match="is not there, or lacks its runtime image; pin a version"):
            provider.update(identifier, outputs, news, preview=preview)


def test_a_pin_counts_where_keys_do_only_with_their_signature(
    provider: Provider, given: dict[str, Any], repository: Repository, project: Path, tmp_path: Path
) -> None:
    (project / "keys").mkdir()
    key = a_key(project / "keys")
    contents = some_contents(project / "tiny/recipe.yaml", tmp_path)
    report = {"inputs": contents.inputs.hash, "recipe": dict(contents.inputs.recipe), "metrics": METRICS}
    image = pushed(repository, report)
    asked = given | {"pin": image.digest, "publicKeys": ["keys/release.pub"]}
    _, failures = provider.check(asked)
    assert "is not signed" in failures["publicKeys"]
    sign(image, key, contents.inputs.hash)
    _, failures = provider.check(asked)
    assert "has no report of its build" in failures["pin"]
    Attestations(contents, key).seal(image, {REPORT_TYPE: json.dumps(report).encode()})
    checked, failures = provider.check(asked)
    assert failures == {}
    assert provider.create(checked)[1]["digest"] == image.digest
