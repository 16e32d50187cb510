"""A stack that copies what another has built: by the other's rule of trust, and under a key of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_build.supply.commands import verified
from model_build.supply.keys import make_pair
from tests.provider.conftest import RECIPE
from tests.provider.houses import House, house, shared_house
from tests.provider.stacks import Stack

pytestmark = pytest.mark.build
__all__ = ["house", "shared_house"]  # fixtures of the tests below

SIGNED, UNSIGNED = "trusted/tiny", "plain/tiny"


@pytest.fixture(scope="module")
def signed(shared_house: House) -> Stack:
    """A stack that built and signed its image, and keys of others."""
    shared_house.recipe.write_text(RECIPE)
    for name in ("release", "review", "strange"):
        make_pair(shared_house.project.folder / name, "")
    stack = shared_house.stack("signed", SIGNED).having(SIGNING_KEY="release.key", PUBLIC_KEYS="release.pub")
    assert stack.run("up").code == 0
    return stack


@pytest.fixture(scope="module")
def unsigned(shared_house: House) -> Stack:
    shared_house.recipe.write_text(RECIPE)
    stack = shared_house.stack("unsigned", UNSIGNED)
    assert stack.run("up").code == 0
    return stack


def reviewing(house: House, name: str, origin: str, keys: str = "") -> Stack:
    stack = house.stack(name, f"review/{name}/tiny")
    return stack.having(SIGNING_KEY="review.key", PUBLIC_KEYS="review.pub", COPY_FROM=origin, COPY_KEYS=keys)


def key(folder: Path, name: str) -> list[str]:
    return [str(folder / f"{name}.pub")]


def test_what_a_trusted_key_signed_is_copied_with_its_papers_and_signed_anew(house: House, signed: Stack) -> None:
    before = house.images(SIGNED).tags()
    stack = reviewing(house, "copies", SIGNED, "release.pub")
    planned = stack.run("preview")
    assert any(f"to be copied from {SIGNED}" in message for message in planned.messages()), planned.said
    done = stack.run("up")
    assert done.code == 0, done.said
    assert done.messages(ephemeral=True) == []
    image = stack.outputs()["image"]
    assert image.rpartition("@")[2] == signed.outputs()["image"].rpartition("@")[2]
    assert "/review/copies/tiny@" in image
    assert stack.outputs()["metrics"] == signed.outputs()["metrics"]
    for name in ("review", "release"):
        assert verified(image, key(house.project.folder, name), None).provenance is not None
    assert house.images(SIGNED).tags() == before


def test_what_nobody_signed_is_copied_where_the_other_stack_takes_it_as_it_is(house: House, unsigned: Stack) -> None:
    stack = reviewing(house, "plain", UNSIGNED)
    done = stack.run("up")
    assert done.code == 0, done.said
    assert done.messages(ephemeral=True) == []
    told = verified(stack.outputs()["image"], key(house.project.folder, "review"), None)
    assert told.verified.inputs is not None
    assert stack.outputs()["metrics"] == unsigned.outputs()["metrics"]


def test_what_another_key_signed_is_built_and_not_copied(house: House, signed: Stack) -> None:
    stack = reviewing(house, "builds", SIGNED, "strange.pub")
    done = stack.run("preview")
    assert any("is signed by another key" in message for message in done.messages()), done.said
    assert stack.run("up").code == 0
    assert house.images("review/builds/tiny").digest(stack.outputs()["image"].rpartition("@")[2]) is not None


def test_a_copy_goes_with_its_stack_and_the_original_stays(house: House, signed: Stack) -> None:
    stack = reviewing(house, "leaves", SIGNED, "release.pub")
    assert stack.run("up").code == 0
    before = house.images(SIGNED).tags()
    assert stack.run("destroy").code == 0
    assert house.images("review/leaves/tiny").tags() == []
    assert house.images(SIGNED).tags() == before
    assert signed.run("preview", "--expect-no-changes").code == 0


def test_a_copy_outlives_the_original(house: House, unsigned: Stack) -> None:
    original = house.stack("original", "original/tiny")
    assert original.run("up").code == 0
    stack = reviewing(house, "outlives", "original/tiny")
    assert stack.run("up").code == 0
    assert original.run("destroy").code == 0
    done = stack.run("up", "--expect-no-changes")
    assert done.code == 0, done.said
