"""PinnedImage: a tag's digest as the first `up` found it, kept in state until `repin` changes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.registry import Repository
from provider.values import Fields, Properties, is_unknown, plain, unknown, wrap

INPUTS = ("image", "repin", "dockerConfig")
RESULTS = ("digest", "reference")
_IMAGE = re.compile(
    r"(?P<host>[A-Za-z0-9.\[\]:-]+)/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class PinnedImageType:
    """Answers the engine for PinnedImage resources of the project in `project`."""

    project: Path
    log: EngineLog

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs."""
        inputs = request.new_inputs
        found = [
            CheckFailure(key, f"{key}: is no input of PinnedImage; it takes {', '.join(INPUTS)}")
            for key in inputs
            if key not in INPUTS
        ]
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
        """Look whether the digest is still there; where the tag points by now does not matter."""
        inputs = request.inputs or {"image": wrap(request.resource_id)}
        reference = Fields(request.properties).text("reference") or request.resource_id
        digest = await self._digest(reference, Fields(inputs).text("dockerConfig"))
        if digest is None:
            return ReadResponse()
        return ReadResponse(request.resource_id, {**inputs, **_results(reference, digest)}, inputs)

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
        return {**inputs, **_results(image, digest)}

    async def _digest(self, image: str, docker_config: str | None) -> str | None:
        parts = _parts(image)
        repository = Repository(parts["host"], parts["name"], docker_config, self.project)
        return await asyncio.to_thread(repository.digest, parts["digest"] or parts["tag"] or "latest")


def _wrong(key: str, inputs: Properties) -> str | None:
    value = inputs.get(key)
    if value is None or value.value in (None, ""):
        return "image: is missing; give it" if key == "image" else None
    if is_unknown(value):
        return None
    if not isinstance(value.value, str):
        return f"{key}: {plain(value)!r} is not text; write it in quotes"
    if key == "image" and not _IMAGE.fullmatch(value.value):
        return f"image: {value.value!r} must be HOST/NAME:TAG or HOST/NAME@sha256:<64 hex digits>"
    return None


def _parts(image: str) -> dict[str, Any]:
    found = _IMAGE.fullmatch(image)
    if found is None:
        raise ProviderError(f"image: {image!r} must be HOST/NAME:TAG or HOST/NAME@sha256:<64 hex digits>")
    return found.groupdict()


def _results(image: str, digest: str) -> Properties:
    parts = _parts(image)
    return {"digest": wrap(digest), "reference": wrap(f"{parts['host']}/{parts['name']}@{digest}")}
