"""From dev to test and back: tests that are recorded, a copy, a rollback and the history of both, on real pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Platform
from tests.e2e.checkout import Checkout, Done

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

RECIPE = ("models/digits/recipe.yaml", "calibration_samples: 400", "calibration_samples: 350")
LOAD = ("--rate", "20", "--seconds", "4", "--max-p99", "10")


def ops(checkout: Checkout, *arguments: str) -> Done:
    return checkout.run(".venv/bin/python", "-m", "ops", *arguments)


def must(checkout: Checkout, *arguments: str) -> str:
    done = ops(checkout, *arguments)
    assert done.code == 0, f"ops {' '.join(arguments)} ended with exit code {done.code}:\n{done.said}"
    return done.said


def served(checkout: Checkout, stack: str) -> str:
    image: str = checkout.outputs(stack)["models"]["digits"]["image"]
    return image.partition("@")[2]


def history(checkout: Checkout, *further: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(must(checkout, "history", "digits", "--json", *further))["versions"]
    return found


@pytest.fixture(scope="module")
def settings(first_up: str, checkout: Checkout, platform: Platform) -> Iterator[str]:
    """Stack test with digits alone and repositories of its own; its file and the stack are as before after it."""
    path = checkout.folder / "Pulumi.test.yaml"
    text = path.read_text(encoding="utf-8")
    own = "\n".join(line for line in text.splitlines() if "mnist" not in line)
    path.write_text(f"{own}\n  modelstack:registry: {{push: '{platform.connection.registry.push}', prefix: staging}}\n")
    yield path.read_text(encoding="utf-8")
    checkout.must("destroy", "test")
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def promoted(checkout: Checkout, settings: str) -> str:
    """What `ops promote dev test` printed before and after the tests were recorded."""
    refused = ops(checkout, "promote", "dev", "test")
    tested = must(checkout, "test", "dev", "--model", "digits", *LOAD)
    copied = must(checkout, "promote", "dev", "test", "--up")
    return "\n--\n".join((f"{refused.code} {refused.said}", tested, copied))


def test_an_image_is_promoted_once_it_is_tested_and_served_without_a_build(dev: Checkout, promoted: str) -> None:
    refused, tested, copied = promoted.split("\n--\n")
    assert refused.startswith("3 ")
    assert "refused: digits: tests: no functional test" in refused
    assert "digits: functional passed" in tested
    assert "digits: load passed" in tested
    assert "nothing to build" in copied
    assert served(dev, "test") == served(dev, "dev")
    assert "/staging/digits@sha256:" in dev.outputs("test")["models"]["digits"]["image"]


def test_history_names_the_stacks_that_run_a_version_and_its_tests(dev: Checkout, promoted: str) -> None:
    (one,) = history(dev)
    assert one["digest"] == served(dev, "dev")
    assert {run["stack"]: run["until"] for run in one["stacks"]} == {"dev": None, "test": None}
    assert {(test["stack"], test["suite"], test["ok"]) for test in one["tests"]} == {
        ("dev", "functional", True),
        ("dev", "load", True),
    }


@pytest.fixture(scope="module")
def rolled_back(checkout: Checkout, settings: str, promoted: str) -> Iterator[tuple[str, str]]:
    """The digests of stack test before a change of the recipe and with it; then it was rolled back."""
    before = served(checkout, "test")
    with checkout.edited(*RECIPE):
        checkout.must("up", "test")
        after = served(checkout, "test")
        must(checkout, "rollback", "test", "digits", "--up")
        yield before, after


def test_a_rollback_serves_the_version_before_and_the_preview_stays_at_it(
    dev: Checkout, rolled_back: tuple[str, str]
) -> None:
    before, after = rolled_back
    assert before != after
    assert served(dev, "test") == before
    assert f"pin: {before}" in (dev.folder / "Pulumi.test.yaml").read_text(encoding="utf-8")
    dev.must("preview", "test", ARGS="--expect-no-changes")
    said = must(dev, "test", "test", *LOAD)
    assert "digits: functional passed" in said


def test_without_the_pin_the_preview_goes_forward_again(
    dev: Checkout, settings: str, rolled_back: tuple[str, str]
) -> None:
    must(dev, "rollback", "test", "digits", "--clear")
    assert (dev.folder / "Pulumi.test.yaml").read_text(encoding="utf-8") == settings
    assert dev.planned("test") == {
        "modelstack:index:ModelImage::digits": "update",
        "kubernetes:apps/v1:Deployment::digits": "update",
        "modelstack:index:SmokeTest::digits-smoke": "update",
    }
    assert [one["digest"] for one in history(dev, "--stack", "test")] == list(reversed(rolled_back))
