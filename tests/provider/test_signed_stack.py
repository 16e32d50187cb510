"""Stacks that ask for signatures: one has the key and builds, another has the public half alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from model_build.supply.commands import verified
from model_build.supply.contents import SBOM_TYPE
from model_build.supply.keys import PASSPHRASE, make_pair
from tests.provider.conftest import RECIPE
from tests.provider.houses import House, house, shared_house
from tests.provider.stacks import Stack

pytestmark = pytest.mark.build
__all__ = ["house", "shared_house"]  # fixtures of the tests below

REPOSITORY = "signed/tiny"
PHRASE = "a phrase for tests"


@pytest.fixture(scope="module")
def built(shared_house: House) -> Stack:
    """Return a stack that built and signed its image."""
    shared_house.recipe.write_text(RECIPE)
    make_pair(shared_house.project.folder / "release", PHRASE)
    keys = {"SIGNING_KEY": "release.key", "PUBLIC_KEYS": "release.pub", PASSPHRASE: PHRASE}
    stack = shared_house.stack("built", REPOSITORY).having(**keys)
    done = stack.run("up")
    assert done.code == 0, done.said
    return stack


def public(folder: Path) -> str:
    return str(folder / "release.pub")


def test_up_signs_what_it_builds_and_tells_how_it_was_built(house: House, built: Stack) -> None:
    told = verified(built.outputs()["image"], [public(house.project.folder)], None)
    assert told.provenance is not None
    (bill,) = told.verified.subject.attached(SBOM_TYPE)
    assert told.bill == f"sha256:{hashlib.sha256(bill).hexdigest()}"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None
    named = {one["name"]: one for one in json.loads(bill)["components"]}
    assert named.keys() >= {"onnxruntime", "numpy", "model_server", "tiny", f"{house.host}/tests/base"}
    assert named["starlette"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]


def test_neither_key_nor_passphrase_is_in_the_state(house: House, built: Stack) -> None:
    state = str(built.deployment())
    assert "release.key" in state
    assert "PRIVATE KEY" not in state
    assert PHRASE not in state


def test_a_stack_with_the_public_half_alone_takes_the_image(house: House, built: Stack) -> None:
    other = house.stack("other", REPOSITORY).having(PUBLIC_KEYS="release.pub")
    done = other.run("up")
    assert done.code == 0, done.said
    assert other.outputs() == built.outputs()
    assert done.messages(ephemeral=True) == []


def test_a_stack_that_trusts_another_key_alone_deploys_nothing(house: House, built: Stack) -> None:
    make_pair(house.project.folder / "another", "")
    other = house.stack("strange", REPOSITORY).having(PUBLIC_KEYS="another.pub")
    done = other.run("up")
    assert done.code != 0
    assert [error for error in done.errors() if "signingKey: is not set" in error], done.said
    assert other.recorded() == [] or all("digest" not in outputs for _, outputs in other.recorded())


def test_a_wrong_passphrase_is_one_clear_error_and_nothing_is_built(house: House, built: Stack) -> None:
    house.recipe.write_text(RECIPE.replace("calibration_samples: 200", "calibration_samples: 150"))
    done = built.having(**{PASSPHRASE: "another"}).run("up")
    assert done.code != 0
    errors = [error for error in done.errors() if "release.key: cannot be opened" in error]
    assert errors, done.said
    assert all("\n" not in error for error in errors)
    assert done.messages(ephemeral=True) == []


def test_a_stack_that_trusts_a_new_key_alone_signs_the_same_digest_anew(house: House, built: Stack) -> None:
    make_pair(house.project.folder / "new", "")
    taking_over = {"SIGNING_KEY": "new.key", "PUBLIC_KEYS": "new.pub", PASSPHRASE: ""}
    done = built.having(**taking_over).run("preview")
    assert any("is signed by another key" in message for message in done.messages()), done.said
    stack = house.stack("renewed", REPOSITORY).having(**taking_over)
    done = stack.run("up")
    assert done.code == 0, done.said
    assert stack.outputs()["image"] == built.outputs()["image"]
    assert verified(stack.outputs()["image"], [str(house.project.folder / "new.pub")], None).provenance is not None


def test_destroy_of_the_last_holder_leaves_nothing_of_a_signed_image(house: House, built: Stack) -> None:
    keys = {"SIGNING_KEY": "release.key", "PUBLIC_KEYS": "release.pub", PASSPHRASE: PHRASE}
    stack = house.stack("gone", "gone/tiny").having(**keys)
    done = stack.run("up")
    assert done.code == 0, done.said
    assert [tag for tag in house.images("gone/tiny").tags() if tag.endswith((".sig", ".att"))] != []
    assert stack.run("destroy").code == 0
    assert house.images("gone/tiny").tags() == []
