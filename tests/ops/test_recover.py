"""A stack whose engine is killed while it builds or pushes: after `ops recover`, `up` or `destroy` ends cleanly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.provider.conftest import RECIPE
from tests.provider.houses import House, house, shared_house
from tests.provider.stacks import Stack
from tests.registry import gate
from tests.ways import way_to

pytestmark = pytest.mark.build
__all__ = ["house", "shared_house"]  # fixtures of the tests below


def recovered(stack: Stack) -> dict[str, Any]:
    """Recover a stack and return the report."""
    done = stack.recover()
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["clean"], report
    assert report["pending_left"] == 0
    return report


def assert_up_settles(stack: Stack) -> None:
    done = stack.run("up")
    assert done.code == 0, done.said
    done = stack.run("preview", "--expect-no-changes")
    assert done.code == 0, done.said
    assert not stack.deployment().get("pending_operations")


def test_killed_while_building(house: House) -> None:
    house.train_for_hours()
    stack = house.stack("building", "building/tiny")
    running = stack.start("up")
    running.wait_for_message("train", "epoch")
    running.kill()
    report = recovered(stack)
    assert len(report["cleared_locks"]) == 1
    house.recipe.write_text(RECIPE)
    assert_up_settles(stack)
    assert stack.run("destroy").code == 0
    assert house.images("building/tiny").tags() == []


def test_killed_while_pushing(house: House) -> None:
    with gate(house.host) as closed:
        stack = house.stack("pushing", "pushing/tiny").having(REGISTRY=closed.host)
        running = stack.start("up")
        assert closed.reached.wait(120), "no upload began"
        running.kill()
        closed.opened.set()
        report = recovered(stack)
        assert report["operations"], "the engine had ended before it was killed"
        assert_up_settles(stack)
    assert house.images("pushing/tiny").digest(stack.outputs()["image"].rpartition("@")[2]) is not None


def test_killed_while_building_and_then_destroyed(house: House) -> None:
    house.train_for_hours()
    stack = house.stack("given-up", "given-up/tiny")
    running = stack.start("up")
    running.wait_for_message("train", "epoch")
    running.kill()
    recovered(stack)
    done = stack.run("destroy")
    assert done.code == 0, done.said
    assert stack.recorded() == []


def test_recovery_is_refused_while_a_live_engine_holds_the_stack(house: House) -> None:
    house.train_for_hours()
    stack = house.stack("held", "held/tiny")
    running = stack.start("up")
    running.wait_for_message("train", "epoch")
    done = stack.recover()
    assert done.returncode == 3
    assert f"is held by process {running.process.pid} of " in done.stderr
    assert running.process.poll() is None
    running.interrupt()
    running.finish()


def test_of_two_ups_at_once_the_second_is_refused_and_names_the_first(house: House) -> None:
    house.train_for_hours()
    own_cluster = "config: {modelstack:cluster: {kubeconfig: mine}}\n"
    (house.project.folder / "Pulumi.twice.yaml").write_text(own_cluster)
    stack = house.stack("twice", "twice/tiny")
    running = stack.start("up")
    running.wait_for_message("train", "epoch")
    done = stack.ops("up", "--stack", "twice", "--yes")
    assert done.returncode != 0
    assert f"stack twice: is worked on by process {running.process.pid} of " in done.stderr
    assert "wait until it has ended" in done.stderr
    assert running.process.poll() is None
    running.interrupt()
    running.finish()
    house.recipe.write_text(RECIPE)
    assert_up_settles(stack)


@pytest.mark.parametrize("command", [pytest.param("refresh", marks=pytest.mark.soak), "destroy"])
def test_a_registry_that_is_away_costs_no_record(house: House, command: str) -> None:
    with way_to(house.host) as way:
        stack = house.stack(f"away-{command}", "away/tiny").having(REGISTRY=way.host)
        assert_up_settles(stack)
        before = stack.recorded()
        with way.broken():
            assert stack.run(command).code != 0
            assert stack.recorded() == before
        assert_up_settles(stack)
        assert stack.run("destroy").code == 0
        assert house.images("away/tiny").tags() == []


def test_a_registry_that_goes_away_within_a_push_is_survived(house: House) -> None:
    with way_to(house.host) as way:
        stack = house.stack("cut-off", "cut-off/tiny").having(REGISTRY=way.host)
        way.lose_answer(1)
        running = stack.start("up")
        assert way.lost.wait(120), "no upload began"
        with way.broken():
            assert running.finish().code != 0
        assert_up_settles(stack)


def test_a_stack_that_needs_no_recovery_is_left_as_it_is(house: House) -> None:
    stack = house.stack("whole", "whole/tiny")
    assert_up_settles(stack)
    before = stack.recorded()
    report = recovered(stack)
    assert report["changes"] == {}
    assert stack.recorded() == before


def test_attributes_of_a_state_that_were_cut_off_are_removed(house: House) -> None:
    stack, state = with_a_state(house, "attributes")
    attributes = state.with_name(f"{state.name}.attrs")
    attributes.write_bytes(b"")
    assert "EOF" in stack.run("preview").said
    assert recovered(stack)["mended"] == [f"{attributes.name}: was cut off while it was written; removed"]
    assert_up_settles(stack)


def test_a_state_that_lost_its_bytes_becomes_that_of_the_step_before(house: House) -> None:
    stack, state = with_a_state(house, "bytes")
    before = stack.recorded()
    state.write_bytes(state.read_bytes()[:100])
    (told,) = recovered(stack)["mended"]
    assert told == f"{state.name}: was cut off while it was written; replaced by {state.name}.bak, the step before"
    assert {urn for urn, _ in stack.recorded()} <= {urn for urn, _ in before}
    assert_up_settles(stack)
    assert stack.run("destroy").code == 0
    assert house.images("bytes/tiny").tags() == []


def with_a_state(house: House, name: str) -> tuple[Stack, Path]:
    """Return a stack that is up, and the file of its state."""
    stack = house.stack(name, f"{name}/tiny")
    assert_up_settles(stack)
    (state,) = (stack.folder / "state/.pulumi/stacks").rglob(f"{name}.json")
    return stack, state


def test_a_stack_that_does_not_exist_is_one_error(house: House) -> None:
    done = Stack(house.project.folder, "nowhere", house.project.environment).recover()
    assert done.returncode == 1
    assert "nowhere" in done.stderr
