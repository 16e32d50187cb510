"""What a stack has to look like after `ops recover`: recorded is what is there, and nothing is left begun."""

from __future__ import annotations

import json
from typing import Any

from ops import unrecorded
from ops.engine import Engine
from tests.provider.stacks import Stack

Event = dict[str, Any]


def begins(event: Event, operation: str, kind: str = "") -> bool:
    """Whether a step of that operation begins, on a resource of `kind` where one is named."""
    return _is_step(event, "resourcePreEvent", operation, kind)


def ended(event: Event, operation: str, kind: str = "") -> bool:
    """Whether a step of that operation has ended."""
    return _is_step(event, "resOutputsEvent", operation, kind)


def _is_step(event: Event, name: str, operation: str, kind: str) -> bool:
    step = event.get(name, {}).get("metadata", {})
    return bool(step.get("op") == operation and kind in ("", step.get("type")))


def recovered(stack: Stack) -> dict[str, Any]:
    """Recover a stack and return the report."""
    done = stack.recover()
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["pending_left"] == 0
    assert report["not_looked_for"] == ""
    return report


def exported(stack: Stack) -> dict[str, Any]:
    """Return a stack's state with its secrets."""
    return Engine(stack.folder, stack.name, stack.environment).export(secrets=True)


def assert_up_settles(stack: Stack) -> None:
    """Bring the stack up; state and cluster then hold the same."""
    done = stack.run("up")
    assert done.code == 0, done.said
    done = stack.run("preview", "--refresh", "--expect-no-changes")
    assert done.code == 0, done.said
    state = exported(stack)
    assert unrecorded.find(state, stack.name) == []
    assert not state["deployment"].get("pending_operations")


def assert_destroy_leaves_nothing(stack: Stack) -> None:
    """Destroy the stack; neither state nor cluster then holds anything of it."""
    state = exported(stack)
    done = stack.run("destroy")
    assert done.code == 0, done.said
    assert stack.recorded() == []
    # What the API server is reached by, for the search alone.
    state["deployment"]["resources"] = [one for one in state["deployment"]["resources"] if "providers" in one["type"]]
    assert unrecorded.find(state, stack.name) == []
