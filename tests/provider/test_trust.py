"""ModelImage with public keys: a tag counts only with a signature, wherever the registry is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN

from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.supply.keys import PrivateKey
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from provider.naming import stack_tag
from provider.registry import Repository
from provider.trust import Trust
from tests.provider.conftest import Provider
from tests.registry import push
from tests.signing import OTHER_INPUTS, a_key

OWN = ("recipe", "base", "push", "repository", "signingKey", "publicKeys")


@pytest.fixture
def repository(host: str, project: Path, request: pytest.FixtureRequest) -> Repository:
    """Return a repository that no other test uses."""
    name = f"trusted/{request.node.name[:100]}".replace("[", "-").replace("]", "").lower()
    return Repository(host, name, None, project)


@pytest.fixture
def key(project: Path) -> PrivateKey:
    """A pair in the project's folder, `keys/release`."""
    (project / "keys").mkdir()
    return a_key(project / "keys", "release")


@pytest.fixture
def checked(provider: Provider, inputs: dict[str, Any], repository: Repository, key: PrivateKey) -> dict[str, Any]:
    """Checked inputs that ask for a signature by `keys/release` and have no key that signs."""
    asked = {"push": repository.host, "repository": repository.name, "publicKeys": ["keys/release.pub"]}
    checked, failures = provider.check(inputs | asked)
    assert failures == {}
    return checked


@pytest.fixture
def image(repository: Repository, checked: dict[str, Any]) -> Subject:
    """An unsigned image under the tag of the inputs."""
    digest = push(repository.host, repository.name, "first", f"inputs-{checked['inputsHash']}")
    return Subject.of(Registry(repository.host), Reference(repository.host, repository.name, digest=digest))


def rechecked(provider: Provider, checked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Check the inputs again with changes."""
    news, failures = provider.check({key: checked[key] for key in OWN if key in checked} | changes, checked)
    assert failures == {}
    return news


def foretold(provider: Provider, checked: dict[str, Any]) -> str:
    _, outputs = provider.create(checked, preview=True)
    return str(outputs["digest"])


@pytest.mark.parametrize(
    ("host", "keys", "counts"),
    [
        ("127.0.0.1:5000", (), True),
        ("registry.example", (), False),
        ("127.0.0.1:5000", ("a.pub",), True),
        ("registry.example", ("a.pub",), True),
    ],
)
def test_a_tag_elsewhere_can_count_only_where_keys_are_named(
    host: str, keys: tuple[str, ...], counts: bool, tmp_path: Path
) -> None:
    assert Trust(keys, None, tmp_path).looks_at(host) is counts


def test_a_signed_image_of_the_inputs_shows_in_a_preview(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey
) -> None:
    sign(image, key, checked["inputsHash"])
    assert foretold(provider, checked) == image.digest


def test_an_unsigned_image_is_to_be_built_and_the_preview_says_why(
    provider: Provider, checked: dict[str, Any], image: Subject
) -> None:
    assert foretold(provider, checked) == UNKNOWN
    assert f"to be built (first build; {image}: is not signed" in provider.engine.said()


def test_an_image_that_another_key_signed_is_to_be_built(
    provider: Provider, checked: dict[str, Any], image: Subject, project: Path
) -> None:
    sign(image, a_key(project / "keys", "stranger"), checked["inputsHash"])
    assert foretold(provider, checked) == UNKNOWN
    assert "is signed by another key" in provider.engine.said()


def test_an_image_signed_for_other_inputs_is_to_be_built(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey
) -> None:
    sign(image, key, OTHER_INPUTS)
    assert foretold(provider, checked) == UNKNOWN
    assert f"for inputs {OTHER_INPUTS}, asked are {checked['inputsHash']}" in provider.engine.said()


def test_a_signature_moved_to_another_image_counts_for_nothing(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, repository: Repository
) -> None:
    sign(image, key, checked["inputsHash"])
    (signed,) = image.signatures()
    digest = push(repository.host, repository.name, "planted", f"inputs-{checked['inputsHash']}")
    planted = Subject.of(image.registry, Reference(repository.host, repository.name, digest=digest))
    planted.add_signature(signed)
    assert foretold(provider, checked) == UNKNOWN
    assert f"is of {image.digest}; do not use it" in provider.engine.said()


def test_up_takes_a_signed_image_without_the_key_that_signs(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, repository: Repository
) -> None:
    sign(image, key, checked["inputsHash"])
    _, outputs = provider.create(checked)
    assert outputs["digest"] == image.digest
    assert repository.digest(stack_tag(provider.urn)) == image.digest


def test_up_without_a_signed_image_and_without_a_key_holds_nothing(
    provider: Provider, checked: dict[str, Any], image: Subject, repository: Repository
) -> None:
    with pytest.raises(grpc.RpcError, match="signingKey: is not set, and publicKeys ask for a signed image"):
        provider.create(checked)
    assert repository.digest(stack_tag(provider.urn)) is None


def test_a_preview_without_a_key_warns_that_up_will_refuse(provider: Provider, checked: dict[str, Any]) -> None:
    assert foretold(provider, checked) == UNKNOWN
    assert "signingKey is not set, so `up` will refuse" in provider.engine.said()


def test_up_with_a_signing_key_that_does_not_count_builds_nothing(
    provider: Provider, checked: dict[str, Any], project: Path
) -> None:
    a_key(project / "keys", "stranger")
    news = rechecked(provider, checked, signingKey="keys/stranger.key")
    with pytest.raises(grpc.RpcError, match="add its public half to publicKeys"):
        provider.create(news)


def test_the_keys_that_count_are_in_the_state_by_fingerprint(checked: dict[str, Any], key: PrivateKey) -> None:
    assert checked["trusts"] == [key.public.fingerprint]


def test_another_trusted_key_is_a_change_that_tells_its_fingerprint(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, project: Path
) -> None:
    sign(image, key, checked["inputsHash"])
    _, outputs = provider.create(checked)
    a_key(project / "keys", "new")
    answer = provider.diff(outputs, rechecked(provider, checked, publicKeys=["keys/release.pub", "keys/new.pub"]))
    assert (set(answer.detailedDiff), list(answer.replaces)) == ({"trusts"}, [])


def test_keys_that_lie_elsewhere_are_no_change(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, project: Path
) -> None:
    sign(image, key, checked["inputsHash"])
    _, outputs = provider.create(checked)
    (project / "moved").mkdir()
    for ending in ("pub", "key"):
        (project / f"keys/release.{ending}").rename(project / f"moved/release.{ending}")
    news = rechecked(provider, checked, publicKeys=["moved/release.pub"], signingKey="moved/release.key")
    assert provider.diff(outputs, news).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_an_image_whose_key_no_longer_counts_is_not_kept(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, project: Path
) -> None:
    sign(image, key, checked["inputsHash"])
    identifier, outputs = provider.create(checked)
    a_key(project / "keys", "new")
    news = rechecked(provider, checked, publicKeys=["keys/new.pub"])
    assert provider.update(identifier, outputs, news, preview=True)["digest"] == UNKNOWN
    assert "is signed by another key" in provider.engine.said()
    with pytest.raises(grpc.RpcError, match="signingKey: is not set"):
        provider.update(identifier, outputs, news)


def test_an_image_that_the_new_key_signed_too_is_kept(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, project: Path
) -> None:
    sign(image, key, checked["inputsHash"])
    identifier, outputs = provider.create(checked)
    sign(image, a_key(project / "keys", "new"), checked["inputsHash"])
    news = rechecked(provider, checked, publicKeys=["keys/new.pub"])
    assert provider.update(identifier, outputs, news, preview=True)["digest"] == image.digest
    assert provider.update(identifier, outputs, news)["digest"] == image.digest


def test_a_record_without_outputs_of_an_unsigned_image_is_dropped(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, repository: Repository
) -> None:
    repository.tag(image.digest, stack_tag(provider.urn))
    identifier = f"{repository.host}/{repository.name}:{stack_tag(provider.urn)}"
    assert provider.read(identifier, checked, {})[0] == ""
    sign(image, key, checked["inputsHash"])
    assert provider.read(identifier, checked, {})[1]["digest"] == image.digest


def test_destroy_removes_the_signatures_with_the_image(
    provider: Provider, checked: dict[str, Any], image: Subject, key: PrivateKey, repository: Repository
) -> None:
    sign(image, key, checked["inputsHash"])
    identifier, outputs = provider.create(checked)
    provider.delete(identifier, outputs)
    assert repository.tags() == []


@pytest.mark.parametrize(
    ("change", "property_name", "said"),
    [
        ({"publicKeys": "keys/release.pub"}, "publicKeys", "'keys/release.pub' is no list of texts"),
        ({"publicKeys": [3]}, "publicKeys", "[3] is no list of texts"),
        ({"publicKeys": ["keys/none.pub"]}, "publicKeys", "keys/none.pub: cannot be read"),
        ({"publicKeys": ["keys/release.key"]}, "publicKeys", "holds no public key in PEM"),
        ({"signingKey": "keys/release.key"}, "signingKey", "is given without publicKeys"),
        ({"signingKey": 3}, "signingKey", "3 is not text"),
    ],
)
@pytest.mark.usefixtures("key")
def test_a_wrong_key_is_one_failure_that_names_it(
    provider: Provider, inputs: dict[str, Any], change: dict[str, Any], property_name: str, said: str
) -> None:
    checked, failures = provider.check(inputs | change)
    assert checked == {}
    assert list(failures) == [property_name]
    assert said in failures[property_name]
    assert "\n" not in failures[property_name]


@pytest.mark.parametrize("given", ["signingKey", "publicKeys"])
def test_a_private_key_in_place_of_its_name_is_refused_and_not_repeated(
    provider: Provider, inputs: dict[str, Any], key: PrivateKey, project: Path, given: str
) -> None:
    pem = (project / "keys/release.key").read_text()
    named = {"publicKeys": ["keys/release.pub"]} | {given: pem if given == "signingKey" else [pem]}
    _, failures = provider.check(inputs | named)
    assert failures == {
        given: f"{given}: is a private key itself, which the state would keep; name its file, or env://NAME"
    }
