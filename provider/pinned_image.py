"""PinnedImage: a tag's digest as the first `up` found it, kept in state until `repin` changes.

Where the tag points by now is told by `current` after a refresh, and changes nothing that runs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from pulumi.provider.experimental.provider import (
    CheckFailure,
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

from model_build.errors import RegistryError
from model_build.oci.reference import Reference
from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.inputs import unknown_keys
from provider.registry import Repository
from provider.values import Fields, Properties, is_unknown, plain, unknown, wrap

INPUTS = ("image", "repin", "dockerConfig")
RESULTS = ("digest", "reference", "current")


@dataclass(frozen=True)
class PinnedImageType:
    """Answers the engine for PinnedImage resources of the project in `project`."""

    project: Path
    log: EngineLog

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs."""
        inputs = request.new_inputs
        found = unknown_keys("PinnedImage", inputs, INPUTS)
        found += [CheckFailure(key, reason) for key in INPUTS if (reason := _wrong(key, inputs))]
        return CheckResponse(failures=found) if found else CheckResponse(inputs=inputs)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what changed."""
        return compare(request.old_state, request.new_inputs, INPUTS)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Resolve the tag."""
        outputs = await self._resolved(request.urn, request.properties, preview=request.preview)
        return CreateResponse(Fields(outputs).text("reference") or None, outputs)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Resolve the tag anew, for another image or another `repin`."""
        return UpdateResponse(await self._resolved(request.urn, request.news, preview=request.preview))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Look whether the digest is still there, and say where the tag points by now if that is elsewhere."""
        inputs = request.inputs or {"image": wrap(request.resource_id)}
        reference = Fields(request.properties).text("reference") or request.resource_id
        image, folder = Fields(inputs).text("image") or reference, Fields(inputs).text("dockerConfig")
        digest = await self._digest(reference, folder)
        if digest is None:
            return ReadResponse()
        current = await self._digest(image, folder) or ""
        if current != digest:
            await self.log.caution(request.urn, _moved(request.urn, image, digest, current))
        return ReadResponse(request.resource_id, {**inputs, **_results(reference, digest, current)}, inputs)

    async def delete(self, request: DeleteRequest) -> None:
        """Forget the digest; the image is another's."""

    async def _resolved(self, urn: str, inputs: Properties, *, preview: bool) -> Properties:
        fields = Fields(inputs)
        image = fields.text("image")
        if image is None:
            return {**inputs, **dict.fromkeys(RESULTS, unknown())}
        try:
            digest = await self._digest(image, fields.text("dockerConfig"))
        except RegistryError as error:
            if not preview:
                raise
            await self.log.caution(urn, f"{error}; the digest shows during `up`")
            return {**inputs, **dict.fromkeys(RESULTS, unknown())}
        if digest is None:
            raise ProviderError(f"image: {image!r} is not in the registry; push it or correct the name")
        return {**inputs, **_results(image, digest, digest)}

    async def _digest(self, image: str, docker_config: str | None) -> str | None:
        named = Reference.parse(image)
        repository = Repository(named.host, named.repository, docker_config, self.project)
        return await asyncio.to_thread(repository.digest, named.digest or named.tag or "latest")


def _wrong(key: str, inputs: Properties) -> str | None:
    value = inputs.get(key)
    if value is None or value.value in (None, ""):
        return "image: is missing; give it" if key == "image" else None
    if is_unknown(value):
        return None
    if not isinstance(value.value, str):
        return f"{key}: {plain(value)!r} is not text; write it in quotes"
    return _misspelt(value.value) if key == "image" else None


def _misspelt(image: str) -> str | None:
    try:
        Reference.parse(image)
    except RegistryError as error:
        return str(error)
    return None


def _results(image: str, digest: str, current: str) -> Properties:
    reference = str(replace(Reference.parse(image), tag=None, digest=digest))
    return {"digest": wrap(digest), "reference": wrap(reference), "current": wrap(current)}


def _moved(urn: str, image: str, digest: str, current: str) -> str:
    if not current:
        return f"image: {image!r} is in the registry no more; {digest} runs on, name another tag before that goes too"
    return (
        f"image: {image!r} has moved from {digest} to {current}; the first runs on, "
        f"`pulumi up --replace '{urn}'` takes the second"
    )
