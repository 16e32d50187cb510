"""What a refresh reads of a resource that waits for an object of the cluster, and has no state of its own."""

from __future__ import annotations

from pathlib import Path

from pulumi.provider.experimental.provider import ReadRequest, ReadResponse

from provider.kubernetes import Cluster, Kind, patiently
from provider.values import Fields


async def where_there(request: ReadRequest, project: Path, kind: Kind, key: str) -> ReadResponse:
    """Return the resource as it was where the object of `kind` that its property `key` names is there, else nothing."""
    fields, cluster = Fields(request.properties), Cluster.of(request.properties, project)
    found = await patiently(lambda: cluster.get(kind, fields.text("namespace"), fields.text(key) or ""))
    if found is None:
        return ReadResponse()
    return ReadResponse(request.resource_id, request.properties, request.inputs)
