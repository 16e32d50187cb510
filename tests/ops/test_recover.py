"""A stack whose engine is killed while it builds or pushes: after `ops recover`, `up` or `destroy` ends cleanly."""

from __future__ import annotations

import json

import pytest

from tests.provider.conftest import RECIPE
from tests.provider.houses import House, house, shared_house
from tests.provider.stacks import Stack
from tests.registry import gate

pytestmark = pytest.mark.build
__all__ = ["house", "shared_house"]  # fixtures of the tests below


def recovered(stack: Stack) -> dict[str, object]:
    """Recover a stack and return the report."""
    done = stack.recover()
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
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
    assert len(report["cleared_locks"]) == 1  # type: ignore[arg-type]  # a list in this report
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


def test_a_stack_that_needs_no_recovery_is_left_as_it_is(house: House) -> None:
    stack = house.stack("whole", "whole/tiny")
    assert_up_settles(stack)
    before = stack.recorded()
    report = recovered(stack)
    assert report["changes"] == {}
    assert stack.recorded() == before


def test_a_stack_that_does_not_exist_is_one_error(house: House) -> None:
    done = Stack(house.project.folder, "nowhere", house.project.environment).recover()
    assert done.returncode == 1
    assert "nowhere" in done.stderr
