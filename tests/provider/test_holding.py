"""Which images go with the last stack that holds them, in a real registry."""

from pathlib import Path

import pytest

from model_build.oci.registry import Registry
from provider.holding import let_go
from provider.naming import STACK_PREFIX
from provider.registry import Repository
from tests.ops.test_gc import indexed
from tests.registry import push

OWN, ANOTHER = f"{STACK_PREFIX}shop-dev", f"{STACK_PREFIX}shop-prod"
INPUTS = f"inputs-{'0' * 64}"


@pytest.fixture
def place(host: str, request: pytest.FixtureRequest) -> Repository:
    """A repository of its own for each test."""
    return Repository(host, f"holding/{request.node.name.replace('_', '-')[:90]}", None, Path.cwd())


def test_an_image_goes_with_its_last_stack(place: Repository) -> None:
    digest = push(place.host, place.name, "one", OWN, ANOTHER, INPUTS)
    let_go(place, OWN, digest)
    assert place.digest(digest) == digest
    let_go(place, ANOTHER, digest)
    assert place.tags() == []
    assert place.digest(digest) is None


def test_an_image_that_has_a_tag_of_the_users_own_stays(place: Repository) -> None:
    digest = push(place.host, place.name, "one", OWN, "v1.2")
    let_go(place, OWN, digest)
    assert Registry(place.host).tags(place.name) == ["v1.2"]
    assert place.digest("v1.2") == digest


def test_an_image_inside_an_index_that_another_stack_holds_stays(place: Repository) -> None:
    _, children = indexed(place, ANOTHER, "amd", "arm")
    place.tag(children[0], OWN)
    let_go(place, OWN, children[0])
    assert place.digest(children[0]) == children[0]
