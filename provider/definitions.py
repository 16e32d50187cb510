"""Definitions: the kinds that a controller adds to a cluster, which belong to no stack and go with the last one."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml
from pulumi.provider.experimental.provider import (
    CheckRequest,
    CheckResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.inputs import checked
from provider.kubernetes import DEFINITION, POLL_SECONDS, Cluster, Kind, Object, holds, patiently
from provider.values import Fields, Properties, wrap

TEXTS = ("kubeconfig", "source", "sha256")
INPUTS = (*TEXTS, "context")
# A file of the same bytes elsewhere holds the same kinds.
COMPARED = ("sha256",)
OURS = {"app.kubernetes.io/managed-by": "modelstack"}
SOURCE = "modelstack.dev/source"
SECONDS = 60.0


@dataclass(frozen=True)
class DefinitionsType:
    """Answers the engine for Definitions resources; the state keeps names alone, for one kind is half a megabyte."""

    project: Path
    log: EngineLog

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs."""
        return checked("Definitions", request.new_inputs, INPUTS, texts=TEXTS)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what changed: the bytes of the source."""
        return compare(request.old_state, request.new_inputs, COMPARED)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make the kinds that nobody has made, and those that an older version of this made."""
        sha256 = Fields(request.properties).text("sha256") or ""
        outputs = await self._made(request.urn, request.properties, preview=request.preview)
        return CreateResponse(None if request.preview else sha256[:12], outputs)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Bring the kinds that this made to another source."""
        return UpdateResponse(await self._made(request.urn, request.news, preview=request.preview))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Look whether every kind is there."""
        cluster = Cluster.of(request.properties, self.project)
        names = Fields(request.properties).texts("names")
        found = [await patiently(lambda name=name: cluster.get(DEFINITION, None, name)) for name in names]  # type: ignore[misc]
        if not found or not all(found):
            return ReadResponse()
        return ReadResponse(request.resource_id, request.properties, request.inputs)

    async def delete(self, request: DeleteRequest) -> None:
        """Remove the kinds that this made, unless an object of one is left anywhere: another stack's, for deletion
        of a kind deletes its objects."""
        cluster = Cluster.of(request.properties, self.project)
        ours = [
            live
            for name in Fields(request.properties).texts("names")
            if (live := await asyncio.to_thread(cluster.get, DEFINITION, None, name)) is not None and _is_ours(live)
        ]
        used = [live for live in ours if await asyncio.to_thread(_is_used, cluster, live)]
        if used:
            await self.log.info(request.urn, f"kept: {used[0]['metadata']['name']} is in use in this cluster")
            return
        for live in ours:
            await asyncio.to_thread(cluster.delete, DEFINITION, None, live["metadata"]["name"])
        for live in ours:
            await _until_gone(cluster, str(live["metadata"]["name"]))

    async def _made(self, urn: str, inputs: Properties, *, preview: bool) -> Properties:
        fields = Fields(inputs)
        source, sha256 = fields.text("source"), fields.text("sha256")
        if preview or source is None or sha256 is None:
            return inputs
        documents = await asyncio.to_thread(read, self.project, source, sha256)
        cluster = Cluster.of(inputs, self.project)
        names = [str(one["metadata"]["name"]) for one in documents]
        for name, document in zip(names, documents, strict=True):
            await self.log.status(urn, name)
            live = await asyncio.to_thread(cluster.get, DEFINITION, None, name)
            if live is not None and live["metadata"].get("deletionTimestamp"):
                await _until_gone(cluster, name)
            await asyncio.to_thread(_make, cluster, name, document, sha256)
        for name in names:
            await _until_established(cluster, name)
        return {**inputs, "names": wrap(names)}


def _make(cluster: Cluster, name: str, document: Object, sha256: str) -> None:
    live = cluster.get(DEFINITION, None, name)
    if live is not None and (not _is_ours(live) or _annotations(live).get(SOURCE) == sha256):
        return
    metadata = document["metadata"]
    marked = {
        **metadata,
        "labels": {**(metadata.get("labels") or {}), **OURS},
        "annotations": {**(metadata.get("annotations") or {}), SOURCE: sha256},
    }
    cluster.apply(DEFINITION, None, {**document, "metadata": marked})


async def _until_established(cluster: Cluster, name: str) -> None:
    until = time.monotonic() + SECONDS
    while True:
        live = await patiently(lambda: cluster.get(DEFINITION, None, name)) or {}
        if holds(live, "Established"):
            return
        if time.monotonic() >= until:
            raise ProviderError(f"{name}: not served by the cluster after {SECONDS:.0f} s; run `up` again")
        await asyncio.sleep(POLL_SECONDS / 4)


async def _until_gone(cluster: Cluster, name: str) -> None:
    """Wait until a kind that is being deleted is gone with its objects; what is applied to it until then goes too."""
    until = time.monotonic() + SECONDS
    while await patiently(lambda: cluster.get(DEFINITION, None, name)) is not None:
        if time.monotonic() >= until:
            raise ProviderError(f"{name}: still being deleted after {SECONDS:.0f} s; see what keeps its objects")
        await asyncio.sleep(POLL_SECONDS / 4)


def _is_ours(live: Object) -> bool:
    labels = live["metadata"].get("labels") or {}
    return bool(OURS.items() <= labels.items())


def _annotations(live: Object) -> dict[str, str]:
    return live["metadata"].get("annotations") or {}


def _is_used(cluster: Cluster, live: Object) -> bool:
    spec = live["spec"]
    version = next(one["name"] for one in spec["versions"] if one["served"])
    names = spec["names"]
    kind = Kind(spec["group"], version, names["kind"], names["plural"], spec["scope"] == "Namespaced")
    return bool(cluster.list(kind, None))


def read(project: Path, source: str, sha256: str) -> list[Object]:
    """Return the kinds that a file or https URL of these bytes defines; raises ProviderError."""
    raw = _fetched(source) if source.startswith("https://") else _local(project, source)
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise ProviderError(f"definitions: {source} has sha256 {found[:12]}…, not {sha256[:12]}…; name the right file")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = yaml.load_all(raw, Loader=loader)
    return [one for one in documents if one and one.get("kind") == "CustomResourceDefinition"]


def _local(project: Path, source: str) -> bytes:
    try:
        return (project / source).read_bytes()
    except OSError as error:
        raise ProviderError(f"definitions: {source} cannot be read ({error.strerror}); name a file or URL") from error


def _fetched(source: str) -> bytes:
    try:
        answer = urllib3.request("GET", source, timeout=60, retries=3)
    except urllib3.exceptions.HTTPError as error:
        raise ProviderError(f"definitions: {source}: no answer ({error}); name a file or another URL") from error
    if answer.status != 200:
        raise ProviderError(f"definitions: {source}: status {answer.status}; name a file or another URL")
    return answer.data
