"""Objects in the API server that are a stack's, by its label or a claim, and are in no record of its state."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from local.plugins.kubernetes.client import ApiError, Client, Unreachable
from local.plugins.kubernetes.config import KubeconfigError, Target, target_of
from ops.engine import State, resources

STACK_LABEL = "modelstack.dev/stack"
# Made by a controller beside the object that owns them, with its labels but without an owner reference.
DERIVED_KINDS = frozenset({"Endpoints", "Event"})
LOGIN_SECONDS = 60
AUTONAME = re.compile(r"-[0-9a-f]{8}$")


class NotLookedFor(Exception):  # noqa: N818 (a state of the search)
    """The API server could not be asked; the message says why."""


@dataclass(frozen=True)
class Found:
    """An object that no record names."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def identifier(self) -> str:
        """The id its resource would have."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.identifier}"


def find(state: State, stack: str) -> list[Found]:
    """Return the objects of `stack` that `state` (exported with its secrets) does not name; raises NotLookedFor."""
    clients = list(_clients(state))
    recorded = {(one["type"], one.get("id")) for one in resources(state)}
    try:
        listed = [found for client in clients for found in _listed(client, stack)]
    except (ApiError, Unreachable) as error:
        raise NotLookedFor(str(error)) from error
    return [found for found in dict.fromkeys(listed) if not _is_recorded(found, recorded)]


def volumes(state: State, namespaces: Collection[str]) -> list[str]:
    """Return the names of volumes that were claimed in these namespaces; raises NotLookedFor."""
    try:
        return [
            str(one["metadata"]["name"])
            for client in _clients(state)
            for one in client.list("v1", "PersistentVolume", "")
            if str((one["spec"].get("claimRef") or {}).get("namespace")) in namespaces
        ]
    except (ApiError, Unreachable) as error:
        raise NotLookedFor(str(error)) from error


def _is_recorded(found: Found, recorded: Iterable[tuple[str, Any]]) -> bool:
    # A kind may be recorded under another version of its group than the one listed.
    return any(
        identifier == found.identifier and token.startswith("kubernetes:") and token.endswith(f":{found.kind}")
        for token, identifier in recorded
    )


def _clients(state: State) -> Iterator[Client]:
    providers = [one for one in resources(state) if one["type"] == "pulumi:providers:kubernetes"]
    for inputs in (one.get("inputs") or {} for one in providers):
        kubeconfig = inputs.get("kubeconfig") or os.environ.get("KUBECONFIG")
        if not isinstance(kubeconfig, str):
            raise NotLookedFor("the stack's provider names no kubeconfig")
        try:
            yield Client(signed_in(target_of(kubeconfig, inputs)))
        except KubeconfigError as error:
            raise NotLookedFor(f"kubeconfig: {error}") from error


def signed_in(target: Target) -> Target:
    """Return a target with the token that its kubeconfig's program gives, as of EKS; raises NotLookedFor."""
    given = target.user.get("exec")
    if not given:
        return target
    own = {**os.environ, **{one["name"]: one["value"] for one in given.get("env") or ()}}
    command = [str(given.get("command")), *map(str, given.get("args") or ())]
    try:
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=True, timeout=LOGIN_SECONDS)
        return replace(target, user={"token": str(json.loads(done.stdout)["status"]["token"])})
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise NotLookedFor(
            f"kubeconfig: {command[0]} gave no token ({type(error).__name__}); try it by hand"
        ) from error


def _listed(client: Client, stack: str) -> Iterator[Found]:
    for version in _versions(client):
        root = "/api/" if "/" not in version else "/apis/"
        for entry in client.request("GET", root + version).get("resources", []):
            if "/" in entry["name"] or "list" not in entry["verbs"] or entry["kind"] in DERIVED_KINDS:
                continue
            answer = client.request(
                "GET", f"{root}{version}/{entry['name']}", query={"labelSelector": f"{STACK_LABEL}={stack}"}
            )
            yield from (
                _found(version, entry["kind"], one["metadata"]) for one in answer.get("items") or [] if _own(one)
            )


def _versions(client: Client) -> list[str]:
    groups = client.request("GET", "/apis").get("groups", [])
    return ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]


def _own(item: Mapping[str, Any]) -> bool:
    return not item["metadata"].get("ownerReferences") and not item["metadata"].get("deletionTimestamp")


def _found(version: str, kind: str, metadata: Mapping[str, Any]) -> Found:
    return Found(version, kind, metadata.get("namespace") or "", metadata["name"])


def adopted(state: State, steps: Iterable[Mapping[str, Any]], found: Iterable[Found]) -> tuple[State, list[Found]]:
    """Return the state with each found object under the URN that a preview would create for it, and those objects."""
    known = resources(state)
    taken: list[Found] = []
    creations = [step["newState"] for step in steps if step.get("op") == "create" and step.get("newState")]
    urns = {one["urn"] for one in known}
    for one in found:
        wanted = next((new for new in creations if new["urn"] not in urns and _fits(new, one)), None)
        if wanted is None or not _reachable(wanted, urns):
            continue
        known.append({**wanted, "id": one.identifier, "outputs": {}, "inputs": _named(wanted["inputs"], one)})
        urns.add(wanted["urn"])
        taken.append(one)
    return state, taken


def _fits(wanted: Mapping[str, Any], found: Found) -> bool:
    kind = str(wanted["type"])
    if not kind.startswith("kubernetes:") or not kind.endswith(f":{found.kind}"):
        return False
    metadata = (wanted.get("inputs") or {}).get("metadata") or {}
    if (metadata.get("namespace") or "") != found.namespace:
        return False
    name = str(metadata.get("name") or "")
    if name == found.name:
        return True
    # The preview drew an ending of its own.
    stem = AUTONAME.sub("", name)
    autonamed = "pulumi.com/autonamed" in (metadata.get("annotations") or {})
    return autonamed and bool(AUTONAME.search(found.name)) and AUTONAME.sub("", found.name) == stem


def _reachable(wanted: Mapping[str, Any], urns: set[str]) -> bool:
    needed = [
        wanted.get("parent"),
        str(wanted.get("provider") or "").rpartition("::")[0],
        *(wanted.get("dependencies") or []),
    ]
    return all(not one or one in urns for one in needed)


def _named(inputs: Mapping[str, Any], found: Found) -> dict[str, Any]:
    return {**inputs, "metadata": {**inputs["metadata"], "name": found.name}}
