"""What `ops review` takes out of a review stack's own repositories, in a real registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model_build.oci.image import Image, ImageConfig
from model_build.oci.push import push
from model_build.oci.referrers import attach
from model_build.oci.registry import Registry
from ops.review.remove import sweep
from provider.naming import STACK_PREFIX
from provider.registry import Repository

INPUTS = f"inputs-{'0' * 64}"


@pytest.fixture
def place(host: str, request: pytest.FixtureRequest) -> Repository:
    """A repository of its own for each test."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name)[:90].strip("-")
    return Repository(host, f"review/shop/7/{name}", None, Path.cwd())


def pushed(place: Repository, content: str, *tags: str) -> Image:
    image = Image("linux/amd64", (), ImageConfig(labels={"content": content}))
    push(image, Registry(place.host), place.name, tags)
    return image


def state_of(place: Repository) -> dict[str, object]:
    image = {"type": "modelstack:index:ModelImage", "inputs": {"push": place.host, "repository": place.name}}
    return {"deployment": {"resources": [image]}}


def test_the_image_of_a_killed_up_goes_and_the_one_that_is_held_stays(place: Repository) -> None:
    pushed(place, "left", INPUTS)
    held = pushed(place, "held", f"{STACK_PREFIX}shop-review-7-digits-12345678")
    sweep(state_of(place), place.project)
    assert place.tags() == [f"{STACK_PREFIX}shop-review-7-digits-12345678"]
    assert place.digest(held.digest) == held.digest


def test_blobs_are_those_of_images_and_of_what_is_attached_to_them(place: Repository) -> None:
    image = pushed(place, "one", INPUTS)
    registry = Registry(place.host)
    referrer = attach(registry, place.name, image.descriptor, "application/vnd.example.report", b"the report")
    found = registry.get(place.name, referrer)
    assert found is not None
    config = registry.get(place.name, image.digest)
    assert config is not None
    assert place.blobs() >= {config.parsed["config"]["digest"], found.parsed["layers"][0]["digest"]}


def test_a_blob_that_is_taken_out_of_a_repository_stays_in_the_others(place: Repository) -> None:
    image = pushed(place, "shared", INPUTS)
    registry, other = Registry(place.host), f"{place.name}-kept"
    Repository(place.host, other, None, Path.cwd()).copy(place.name, image.digest)
    blobs = place.blobs()
    place.unlink(blobs)
    assert blobs
    assert not any(registry.has_blob(place.name, one) for one in blobs)
    assert all(registry.has_blob(other, one) for one in blobs)
