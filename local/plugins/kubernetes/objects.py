"""Writes to the API server: create, server-side apply, delete."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.plugins.kubernetes import naming
from local.plugins.kubernetes.client import ApiError, Client, Object, Resource
from local.plugins.kubernetes.diff import MISSING, Path

CREATOR = "pulumi-kubernetes"  # the manager of created objects, until the first apply takes over, as the official does
# Managers whose fields the first apply takes over.
PREDECESSORS = frozenset({(CREATOR, "Update"), ("kubectl", "Update"), ("kubectl", "Apply")})
EXISTS = """

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Adopting a resource into Pulumi: use `pulumi import`.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""
CONFLICT = "server-side apply field conflict detected; set the annotation pulumi.com/patchForce to take the fields over"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"


def address(client: Client, inputs: Mapping[str, Any]) -> Resource:
    """Return how an object is addressed."""
    return client.resource(str(inputs["apiVersion"]), str(inputs["kind"]))


def _place(resource: Resource, inputs: Mapping[str, Any]) -> tuple[str, str]:
    metadata = inputs["metadata"]
    return (str(metadata.get("namespace") or "default") if resource.namespaced else ""), str(metadata["name"])


def _dry(preview: bool) -> dict[str, str]:
    return {"dryRun": "All"} if preview else {}


def create(client: Client, inputs: Object, manager: str, *, upsert: bool, preview: bool) -> Object:
    """Create an object; raise ApiError where it exists, unless `upsert` adopts it."""
    resource = address(client, inputs)
    namespace, name = _place(resource, inputs)
    if upsert:
        return apply(client, resource.path(namespace, name), inputs, manager, force=preview, preview=preview)
    try:
        query = {"fieldManager": CREATOR, **_dry(preview)}
        return client.request("POST", resource.path(namespace), inputs, query=query)
    except ApiError as error:
        if error.exists and not preview:
            raise ApiError(error.code, {"reason": error.reason, "message": f"{error}{EXISTS}"}) from error
        raise


def apply(client: Client, path: str, inputs: Object, manager: str, *, force: bool, preview: bool) -> Object:
    """Apply inputs to an object as a field manager."""
    query = {"fieldManager": manager, "force": json.dumps(force), **_dry(preview)}
    try:
        return client.request("PATCH", path, inputs, query=query, content_type=APPLY)
    except ApiError as error:
        if error.reason == "Conflict":
            message = f"{CONFLICT}\nThe resource managed by field manager {manager!r} had an apply conflict: {error}"
            raise ApiError(error.code, {"reason": error.reason, "message": message}) from error
        raise


def update(
    client: Client, inputs: Object, manager: str, *, force: bool, ignore: Sequence[Path], preview: bool
) -> Object:
    """Bring an existing object to new inputs."""
    resource = address(client, inputs)
    path = resource.path(*_place(resource, inputs))
    live = client.request("GET", path)
    if inputs["kind"] == "CustomResourceDefinition":
        # Replaced as a whole, as `kubectl replace` does: an apply would merge lists of versions.
        metadata = {**inputs["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
        query = {"fieldManager": manager, **_dry(preview)}
        return client.request("PUT", path, {**inputs, "metadata": metadata}, query=query)
    entries = live["metadata"].get("managedFields") or []
    inherits = any((entry["manager"], entry["operation"]) in PREDECESSORS for entry in entries)
    if inherits and not preview:
        live = _take_over(client, path, live, manager)
    wanted = _without_ignored(inputs, live, manager, ignore)
    return apply(client, path, wanted, manager, force=force or not entries or (preview and inherits), preview=preview)


def _take_over(client: Client, path: str, live: Object, manager: str) -> Object:
    """Give the creator's fields to the applying manager, so that fields dropped from the inputs are removed."""
    kept: list[Object] = []
    taken: list[Object] = []
    for entry in live["metadata"]["managedFields"]:
        mine = (entry["manager"], entry["operation"]) == (manager, "Apply")
        inherited = (entry["manager"], entry["operation"]) in PREDECESSORS and not entry.get("subresource")
        (taken if mine or inherited else kept).append(entry)
    if not taken:
        return live
    fields: Object = {}
    for entry in taken:
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**taken[-1], "manager": manager, "operation": "Apply", "fieldsV1": fields}
    version = live["metadata"]["resourceVersion"]
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, merged]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]
    return client.request("PATCH", path, patch, content_type=JSON_PATCH)


def _union(first: Object, second: Object) -> Object:
    return {**first, **{key: _union(first.get(key, {}), value) for key, value in second.items()}}


def _owns(entries: Sequence[Object], path: Path, chosen: Callable[[str], bool]) -> bool:
    for entry in entries:
        node: Any = entry.get("fieldsV1") or {}
        for key in path:
            node = node.get(f"f:{key}") if isinstance(node, Mapping) else None
        if node is not None and chosen(entry["manager"]):
            return True
    return False


def _without_ignored(inputs: Object, live: Object, manager: str, ignore: Sequence[Path]) -> Object:
    """Leave ignored fields to whoever else manages them; otherwise ask for what is there."""
    result = inputs
    entries = live["metadata"].get("managedFields") or []
    for path in ignore:
        if not path or not all(isinstance(key, str) for key in path):
            continue  # paths into lists keep the value the engine has put there
        theirs = _owns(entries, path, lambda name: name != manager) and not _owns(entries, path, manager.__eq__)
        value: Any = live
        for key in path:
            value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
        if theirs or value is not MISSING:
            result = _set(result, path, MISSING if theirs else value)
    return result


def _set(node: Object, path: Path, value: Any) -> Object:
    key = str(path[0])
    if len(path) > 1:
        child = node.get(key)
        return {**node, key: _set(child, path[1:], value)} if isinstance(child, dict) else node
    rest = {name: entry for name, entry in node.items() if name != key}
    return rest if value is MISSING else {**rest, key: value}


def delete(client: Client, live: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Ask for an object's deletion; raise ApiError where it does not exist."""
    resource = address(client, live)
    wanted = naming.annotation(inputs, naming.PROPAGATION).lower()
    policy = {"orphan": "Orphan", "background": "Background"}.get(wanted, "Foreground")
    client.request("DELETE", resource.path(*_place(resource, live)), {"propagationPolicy": policy})
