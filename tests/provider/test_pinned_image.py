"""PinnedImage against a real registry: the digest of the first `up` stays until `repin` changes."""

from __future__ import annotations

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN

from model_build.oci.registry import Registry
from tests.provider.conftest import Provider
from tests.registry import push

NAME = "team/server"


@pytest.fixture
def pinning(provider: Provider) -> Provider:
    provider.urn = "urn:pulumi:dev::digits-project::modelstack:index:PinnedImage::server"
    return provider


def test_a_preview_shows_the_digest(pinning: Provider, host: str) -> None:
    digest = push(host, NAME, "one", "1.2")
    _, outputs = pinning.create({"image": f"{host}/{NAME}:1.2"}, preview=True)
    assert outputs["reference"] == f"{host}/{NAME}@{digest}"


def test_the_digest_stays_when_the_tag_moves(pinning: Provider, host: str) -> None:
    first = push(host, NAME, "one", "moving")
    inputs = {"image": f"{host}/{NAME}:moving"}
    identifier, outputs = pinning.create(inputs)
    push(host, NAME, "two", "moving")
    refreshed = pinning.read(identifier, inputs, outputs)[1]
    assert (refreshed["digest"], refreshed["reference"]) == (first, f"{host}/{NAME}@{first}")
    assert pinning.diff(refreshed, inputs).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_refresh_says_where_a_tag_has_moved_and_how_to_take_it(pinning: Provider, host: str) -> None:
    first = push(host, NAME, "one", "drifting")
    image = f"{host}/{NAME}:drifting"
    identifier, outputs = pinning.create({"image": image})
    second = push(host, NAME, "two", "drifting")
    refreshed = pinning.read(identifier, {"image": image}, outputs)[1]
    assert (outputs["current"], refreshed["current"]) == (first, second)
    said = (
        f"image: '{image}' has moved from {first} to {second}; the first runs on, `pulumi up --replace '{pinning.urn}'`"
    )
    assert said in pinning.engine.said()


def test_a_refresh_of_a_tag_that_stayed_says_nothing(pinning: Provider, host: str) -> None:
    push(host, NAME, "one", "staying")
    inputs = {"image": f"{host}/{NAME}:staying"}
    identifier, outputs = pinning.create(inputs)
    assert pinning.read(identifier, inputs, outputs)[1] == outputs
    assert pinning.engine.messages == []


def test_a_tag_that_was_removed_is_told_while_its_digest_runs_on(pinning: Provider, host: str) -> None:
    digest = push(host, NAME, "one", "removed")
    inputs = {"image": f"{host}/{NAME}:removed"}
    identifier, outputs = pinning.create(inputs)
    Registry(host).untag(NAME, "removed")
    refreshed = pinning.read(identifier, inputs, outputs)[1]
    assert (refreshed["digest"], refreshed["current"]) == (digest, "")
    assert "is in the registry no more" in pinning.engine.said()


def test_another_repin_resolves_the_tag_anew(pinning: Provider, host: str) -> None:
    push(host, NAME, "one", "again")
    inputs = {"image": f"{host}/{NAME}:again"}
    identifier, outputs = pinning.create(inputs)
    second = push(host, NAME, "three", "again")
    news = inputs | {"repin": "2"}
    assert pinning.diff(outputs, news).changes == provider_pb2.DiffResponse.DIFF_SOME
    assert pinning.update(identifier, outputs, news, preview=True)["digest"] == second
    assert pinning.update(identifier, outputs, news)["digest"] == second


def test_a_reference_by_digest_is_taken_as_it_is(pinning: Provider, host: str) -> None:
    digest = push(host, NAME, "one")
    _, outputs = pinning.create({"image": f"{host}/{NAME}@{digest}"})
    assert outputs["digest"] == digest


def test_an_image_that_is_not_there_is_an_error_that_names_it(pinning: Provider, host: str) -> None:
    with pytest.raises(grpc.RpcError, match="is not in the registry"):
        pinning.create({"image": f"{host}/{NAME}:nothing"})


def test_a_pinned_image_that_was_deleted_is_gone_after_refresh(pinning: Provider, host: str) -> None:
    digest = push(host, "team/short-lived", "one", "1")
    inputs = {"image": f"{host}/team/short-lived:1"}
    identifier, outputs = pinning.create(inputs)
    assert identifier == f"{host}/team/short-lived@{digest}"
    push(host, "team/short-lived", "two", "1")
    assert pinning.read(f"{host}/team/never-pushed@{digest}", inputs, {})[0] == ""
    assert outputs["digest"] == digest


def test_an_unknown_image_stays_unknown_in_a_preview(pinning: Provider) -> None:
    checked, failures = pinning.check({"image": UNKNOWN})
    assert failures == {}
    assert pinning.create(checked, preview=True)[1]["digest"] == UNKNOWN


@pytest.mark.parametrize("image", ["", "server:1.2", "https://registry.example/server:1", "registry.example/Server:1"])
def test_a_malformed_image_fails_the_check(pinning: Provider, image: str) -> None:
    _, failures = pinning.check({"image": image})
    assert list(failures) == ["image"]
