"""Operations that a killed engine left begun: each becomes a resource for `refresh` to look at, or is dropped."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ops.engine import State, pending, resources
from provider.naming import image_id, stack_tag

Resource = dict[str, Any]


BY_NAME = frozenset({"aws:eks/cluster:Cluster", "aws:ecr/repository:Repository", "aws:cloudwatch/logGroup:LogGroup"})


@dataclass(frozen=True)
class Decision:
    """What is done about one pending operation, and why."""

    urn: str
    operation: str
    identifier: str | None
    why: str

    def __str__(self) -> str:
        name = self.urn.rpartition("::")[2]
        kind = self.urn.split("::")[2].rpartition("$")[2]
        return f"{kind} {name}: interrupted while {self.operation}; {self.why}"


def decide(state: State) -> list[Decision]:
    """Return a decision for each pending operation."""
    known = resources(state)
    return [_decision(operation["resource"], operation["type"], known) for operation in pending(state)]


def _decision(resource: Resource, operation: str, known: list[Resource]) -> Decision:
    urn = resource["urn"]
    if operation != "creating":
        return Decision(urn, operation, None, "its record stays and refresh finds what became of it")
    identifier = identify(resource) if resource.get("custom") else None
    if identifier is None and is_of_others(resource):
        return Decision(urn, operation, None, "may exist, as only its provider can say; look there, `pulumi import` it")
    if identifier is None:
        return Decision(urn, operation, None, "nothing outside the state belongs to it")
    if _recorded(known, resource, identifier):
        return Decision(urn, operation, None, f"{identifier} is recorded already")
    return Decision(urn, operation, identifier, f"refresh looks for {identifier}")


def is_of_others(resource: Resource) -> bool:
    """Return whether a resource is of a provider that cannot be asked by a name: it may exist, and cost."""
    own = ("kubernetes:", "modelstack:", "pulumi:")
    return bool(resource.get("custom")) and not str(resource["type"]).startswith(own)


def may_exist(state: State) -> list[str]:
    """Return the URNs of resources that were being created where nobody here can look."""
    begun = [one["resource"] for one in pending(state) if one["type"] == "creating"]
    return [one["urn"] for one in begun if is_of_others(one) and identify(one) is None]


def identify(resource: Resource) -> str | None:
    """Return the id that a created resource would have, from its inputs; None where only its provider could say."""
    kind, inputs = str(resource["type"]), resource.get("inputs") or {}
    if kind == "modelstack:index:ModelImage":
        return image_id(str(inputs["push"]), str(inputs["repository"]), stack_tag(resource["urn"]))
    if kind.startswith("kubernetes:"):
        metadata = inputs.get("metadata") or {}
        name, namespace = metadata.get("name"), metadata.get("namespace")
        if not isinstance(name, str):
            return None
        return f"{namespace}/{name}" if isinstance(namespace, str) else name
    # In AWS these are known by their names.
    return str(inputs["name"]) if kind in BY_NAME and isinstance(inputs.get("name"), str) else None


def settled(state: State, decisions: Iterable[Decision]) -> State:
    """Return the state without pending operations, and with a resource for each that is to be looked for."""
    done = copy.deepcopy(state)
    known = resources(done)
    identifiers = {one.urn: one.identifier for one in decisions if one.operation == "creating" and one.identifier}
    for operation in pending(state):
        resource = operation["resource"]
        identifier = identifiers.get(resource["urn"])
        if operation["type"] != "creating" or identifier is None or _recorded(known, resource, identifier):
            continue
        # What it depends on was recorded before it; nothing depends on it yet, so the end keeps the order.
        known.append({"outputs": {}, **resource, "id": identifier, "delete": _has_successor(known, resource)})
    done["deployment"]["pending_operations"] = []
    return done


def _recorded(known: list[Resource], resource: Resource, identifier: str) -> bool:
    return any(one["type"] == resource["type"] and one.get("id") == identifier for one in known)


def _has_successor(known: list[Resource], resource: Resource) -> bool:
    """Return whether another resource is in charge under this URN: the found one is then left over, to be deleted."""
    return any(one["urn"] == resource["urn"] and not one.get("delete") for one in known)


def terminating(state: State) -> list[str]:
    """Return the URNs of Kubernetes objects that are on their way out."""
    return [one["urn"] for one in resources(state) if "deletionTimestamp" in _metadata(one)]


def _metadata(resource: Resource) -> dict[str, Any]:
    outputs = resource.get("outputs")
    metadata = outputs.get("metadata") if isinstance(outputs, dict) else None
    return metadata if isinstance(metadata, dict) else {}
