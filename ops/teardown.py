"""What must hold before a stack is destroyed, and what is looked for after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ops import unrecorded
from ops.engine import Engine, State, resources

# By these the engine leaves protected resources alone, or a person chose what goes.
CHOSEN = ("--exclude-protected", "--target", "-t", "--exclude", "-x")
SHOWN = 10


class ProtectedError(Exception):
    """The stack holds resources that are protected; nothing was deleted."""


def require_unprotected(engine: Engine, state: State, rest: Sequence[str]) -> None:
    """Raise ProtectedError where a resource is protected, before anything is deleted.

    The engine says so as well, but of the first alone, and after what it starts has been started.
    """
    if any(one.partition("=")[0] in CHOSEN for one in rest):
        return
    held = [one["urn"] for one in resources(state) if one.get("protect")]
    if not held:
        return
    shown = "".join(f"\n  {urn}" for urn in held[:SHOWN])
    more = f"\n  and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
    raise ProtectedError(
        f"stack {engine.stack}: {len(held)} resources are protected, nothing was deleted:{shown}{more}\n"
        f"to destroy them too: `pulumi state unprotect --stack {engine.stack} URN`, or `--all` for each, and this "
        "again; to keep them: `-- --exclude-protected`"
    )


def left(state: State, stack: str) -> list[str]:
    """Return what is still in the cluster of a stack that is destroyed; `state` (with its secrets) is of before.

    Looked for are objects with the stack's label, and volumes that were claimed in its namespaces. Raises NotLookedFor.
    """
    providers = [one for one in resources(state) if str(one["type"]).startswith("pulumi:providers:")]
    before = {**state, "deployment": {**state["deployment"], "resources": providers}}
    found = [str(one) for one in unrecorded.find(before, stack)]
    return found + [f"PersistentVolume {name}" for name in unrecorded.volumes(before, _namespaces(state))]


def _namespaces(state: State) -> frozenset[str]:
    made: list[dict[str, Any]] = [one for one in resources(state) if one["type"] == "kubernetes:core/v1:Namespace"]
    return frozenset(str(one["id"]) for one in made if one.get("id"))
