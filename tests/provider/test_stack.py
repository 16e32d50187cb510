"""ModelImage and PinnedImage in stacks of the real engine, with real builds and a real registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.provider.conftest import RECIPE
from tests.provider.houses import House, house, shared_house
from tests.provider.stacks import Stack, processes_of
from tests.registry import push
from tests.waiting import until

pytestmark = pytest.mark.build
__all__ = ["house", "shared_house"]  # fixtures of the tests below

KIND = "modelstack:index:ModelImage"


@pytest.fixture(scope="module")
def built(shared_house: House) -> Stack:
    """Return a stack whose model was built and pushed to `shared/tiny`."""
    shared_house.recipe.write_text(RECIPE)
    stack = shared_house.stack("built", "shared/tiny")
    done = stack.run("up")
    assert done.code == 0, done.said
    (told,) = [message for message in done.messages() if message.startswith("built sha256:")]
    assert Path(told.rpartition("; report: ")[2]).is_file(), told
    assert any(message.startswith("push ") for message in done.messages(ephemeral=True)), done.said
    return stack


def test_the_first_preview_says_why_and_leaves_the_digest_open(house: House) -> None:
    done = house.stack("first", "first/tiny").run("preview")
    assert done.code == 0, done.said
    operation, outputs = done.planned(KIND)
    assert operation == "create"
    assert not str(outputs.get("digest", "")).startswith("sha256:")
    assert "to be built (first build)" in done.messages()
    assert house.images("first/tiny").tags() == []


def test_up_pushes_an_image_that_its_inputs_and_its_stack_name(house: House, built: Stack) -> None:
    images = house.images("shared/tiny")
    image = built.outputs()["image"]
    tags = [tag for tag in images.tags() if tag.startswith(("inputs-", "stack-tiny-built-"))]
    assert len(tags) == 2
    assert {f"{house.host}/shared/tiny@{images.digest(tag)}" for tag in tags} == {image}
    assert built.outputs()["metrics"]["accuracy"] >= 0.5


def test_the_state_keeps_the_layers_of_an_image_and_a_preview_of_another_stack_tells_them(
    house: House, built: Stack
) -> None:
    digest = built.outputs()["image"].rpartition("@")[2]
    (recorded,) = [outputs for urn, outputs in built.recorded() if KIND in urn]
    layers = {one["digest"]: one["size"] for one in recorded["layers"]}
    assert layers == house.images("shared/tiny").layers(digest)
    assert len(layers) >= 3
    previewed = house.stack("layers", "shared/tiny").run("preview")
    assert previewed.planned(KIND)[1]["layers"] == recorded["layers"]


def test_a_second_preview_finds_no_change(house: House, built: Stack) -> None:
    done = built.run("preview", "--expect-no-changes")
    assert done.code == 0, done.said


def test_a_changed_parameter_shows_by_key_old_and_new_value(house: House, built: Stack) -> None:
    house.recipe.write_text(RECIPE.replace("calibration_samples: 200", "calibration_samples: 100"))
    done = built.run("preview")
    assert done.planned(KIND)[0] == "update"
    assert "to be built (recipe: steps.quantize.calibration_samples: 200 → 100)" in done.messages()


def test_another_stack_of_the_same_inputs_knows_the_digest_and_builds_nothing(house: House, built: Stack) -> None:
    digest = built.outputs()["image"].rpartition("@")[2]
    other = house.stack("other", "shared/tiny")
    previewed = other.run("preview")
    planned = previewed.planned(KIND)[1]
    assert planned["digest"] == digest
    assert f"nothing to build: {digest[:19]} was made from the same inputs" in previewed.messages()
    done = other.run("up")
    assert done.code == 0, done.said
    assert other.outputs()["image"] == built.outputs()["image"]
    assert done.messages(ephemeral=True) == []
    assert other.run("destroy").code == 0
    assert house.images("shared/tiny").digest(digest) == digest


def test_destroy_of_the_last_holder_leaves_nothing_in_the_registry(house: House) -> None:
    stack = house.stack("last", "last/tiny")
    done = stack.run("up")
    assert done.code == 0, done.said
    digest = stack.outputs()["image"].rpartition("@")[2]
    done = stack.run("destroy")
    assert done.code == 0, done.said
    assert house.images("last/tiny").digest(digest) is None
    assert house.images("last/tiny").tags() == []


def test_a_recipe_whose_gate_fails_pushes_nothing_and_the_next_up_succeeds(house: House, built: Stack) -> None:
    tags, before = house.images("shared/tiny").tags(), built.recorded()
    house.recipe.write_text(RECIPE.replace("max_latency_ms: 50", "max_latency_ms: 0.000001"))
    done = built.run("up")
    assert done.code != 0
    errors = [error for error in done.errors() if "max_latency_ms" in error]
    assert errors, done.said
    assert all("\n" not in error for error in errors)
    assert "Refused by gates" in Path(errors[0].rpartition("; report: ")[2]).read_text()
    assert (house.images("shared/tiny").tags(), built.recorded()) == (tags, before)
    house.recipe.write_text(RECIPE)
    done = built.run("up", "--expect-no-changes")
    assert done.code == 0, done.said


def test_a_registry_that_is_down_is_one_clear_error_and_the_next_up_succeeds(house: House) -> None:
    stack = house.stack("down", "down/tiny")
    done = stack.having(REGISTRY="127.0.0.1:1").run("up")
    assert done.code != 0
    errors = [error for error in done.errors() if "registry 127.0.0.1:1" in error]
    assert errors, done.said
    assert all("\n" not in error for error in errors)
    done = stack.run("up")
    assert done.code == 0, done.said
    assert stack.run("destroy").code == 0


def test_an_interrupt_ends_the_build_and_leaves_no_process(house: House) -> None:
    house.train_for_hours()
    stack = house.stack("interrupted", "interrupted/tiny")
    running = stack.start("up")
    running.wait_for_message("train", "epoch")
    running.interrupt()
    done = running.finish()
    assert done.code != 0
    until(lambda: processes_of(house.project.folder) == [], "no process is left")
    assert house.images("interrupted/tiny").tags() == []
    assert not stack.deployment().get("pending_operations")


def test_a_pinned_image_keeps_its_digest_until_it_is_pinned_anew(house: House) -> None:
    first = push(house.host, "team/server", "one", "1.2")
    stack = house.project.stack("pinned", PINNED=f"{house.host}/team/server:1.2")
    assert stack.run("up").code == 0
    second = push(house.host, "team/server", "two", "1.2")
    assert stack.run("up", "--refresh", "--expect-no-changes").code == 0
    assert stack.outputs()["pinned"].endswith(first)
    assert stack.having(REPIN="again").run("up").code == 0
    assert stack.outputs()["pinned"].endswith(second)


def test_a_tag_that_moved_shows_in_a_refresh_and_is_taken_by_the_command_it_names(house: House) -> None:
    first = push(house.host, "team/drifting", "one", "1.2")
    stack = house.project.stack("drifting", PINNED=f"{house.host}/team/drifting:1.2")
    assert stack.run("up").code == 0
    second = push(house.host, "team/drifting", "two", "1.2")
    done = stack.run("preview", "--refresh")
    (said,) = [message for message in done.messages() if "has moved from" in message]
    assert first in said
    assert second in said
    assert stack.run("up").code == 0
    assert stack.outputs()["pinned"].endswith(first)
    named = re.search("--replace '([^']+)'", said)
    assert named, said
    assert stack.run("up", "--replace", named.group(1)).code == 0
    assert stack.outputs()["pinned"].endswith(second)
