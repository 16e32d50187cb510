"""Bad input: one clear message, exit code not 0, the old version still serving, and a re-run after the fix succeeds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import urllib3

from tests.conftest import Platform
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

STACK = "Pulumi.dev.yaml"
RECIPE = "models/digits/recipe.yaml"


@dataclass(frozen=True)
class Mistake:
    """An edit of one file, and what the message has to name."""

    file: str
    old: str
    new: str
    named: tuple[str, ...]


MISTAKES = {
    "a setting of the wrong type": Mistake(STACK, "replicas: 2", "replicas: two", ("models.digits.replicas", "'two'")),
    "a setting over its limit": Mistake(
        STACK, "replicas: 2", "replicas: 101", ("models.digits.replicas", "101", "100")
    ),
    "an unknown key": Mistake(STACK, "replicas: 2", "replica: 2", ("models.digits.replica", "did you mean `replicas`")),
    "a recipe that is missing": Mistake(
        STACK, RECIPE, "models/digits/none.yaml", ("models.digits.recipe", "none.yaml")
    ),
    "a recipe's wrong type": Mistake(RECIPE, "epochs: ", "epochs: x", ("epochs", RECIPE)),
    "a recipe's unknown key": Mistake(RECIPE, "seed: ", "sead: ", ("sead", RECIPE)),
    "a gate that fails": Mistake(RECIPE, "min_accuracy: 0.97", "min_accuracy: 1.0", ("min_accuracy", "0.9")),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_stops_up_with_one_message(dev: Checkout, mistake: Mistake) -> None:
    with dev.edited(mistake.file, mistake.old, mistake.new):
        done = dev.make("up")
    assert done.code != 0
    assert all(word in done.said for word in mistake.named), done.said
    assert "Traceback" not in done.said
    assert serves(dev)


def test_a_registry_that_is_down_stops_up_and_drops_nothing(dev: Checkout) -> None:
    closed = "modelstack:registry: {push: 127.0.0.1:9}\n  modelstack:models:"
    with dev.edited(STACK, "modelstack:models:", closed):
        done = dev.make("up")
    assert done.code != 0
    assert "127.0.0.1:9" in done.said
    assert serves(dev)


def test_an_image_that_cannot_start_leaves_the_old_version_serving(dev: Checkout, platform: Platform) -> None:
    without_python = platform.connection.images["pause"]
    broken = f"modelstack:base: {without_python}\n  modelstack:models:"
    impatient = "rolloutSeconds: 20, recipe: models/"
    with dev.edited(STACK, "modelstack:models:", broken), dev.edited(STACK, "recipe: models/", impatient):
        done = dev.make("up")
    assert done.code != 0
    assert "python3.11" in done.said, done.said
    assert serves(dev)


def test_up_after_every_mistake_is_mended_succeeds(dev: Checkout) -> None:
    dev.must("up")
    dev.must("preview", ARGS="--expect-no-changes")
    dev.must("predict")


def serves(checkout: Checkout) -> bool:
    url = checkout.outputs()["endpoint"]["digits"]
    return bool(urllib3.request("GET", f"{url}/v2/models/digits/ready", timeout=10).status == 200)
