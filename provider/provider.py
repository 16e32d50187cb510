"""The provider: passes each call to the resource type it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pulumi.provider.experimental.provider import (
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from provider.build import Builder
from provider.definitions import DefinitionsType
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.interpreter import build_interpreter
from provider.model_image import ModelImageType
from provider.password import PasswordType
from provider.pinned_image import PinnedImageType
from provider.promotion import PromotionType
from provider.readiness import ReadinessType
from provider.smoke_test import SmokeTestType

SCHEMA = Path(__file__).with_name("schema.json")


class ResourceType(Protocol):
    """What each type of resource answers."""

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate and complete inputs."""

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what would change."""

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Create, or with `preview` tell what would come out."""

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Read what is there."""

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Update, or with `preview` tell what would come out."""

    async def delete(self, request: DeleteRequest) -> None:
        """Delete."""


class ModelstackProvider(Provider):
    """The resources of `modelstack:index`: images, and what waits on a cluster."""

    def __init__(self, log: EngineLog) -> None:
        self._builder = Builder(build_interpreter)
        # The engine starts the provider in the project's folder.
        project = Path.cwd()
        self._types: dict[str, ResourceType] = {
            "modelstack:index:ModelImage": ModelImageType(project, log, self._builder),
            "modelstack:index:PinnedImage": PinnedImageType(project, log),
            "modelstack:index:Password": PasswordType(),
            "modelstack:index:Definitions": DefinitionsType(project, log),
            "modelstack:index:Promotion": PromotionType(project, log),
            "modelstack:index:Readiness": ReadinessType(project, log),
            "modelstack:index:SmokeTest": SmokeTestType(project, log),
        }

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:  # noqa: ARG002 (nothing to configure)
        """Accept; previews answer with what is known."""
        return ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:  # noqa: ARG002 (one schema)
        """Return the package's schema."""
        return GetSchemaResponse(schema=SCHEMA.read_text(encoding="utf-8"))

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate and complete inputs."""
        return await self._type(request.type).check(request)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what would change."""
        return await self._type(request.type).diff(request)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Create, or with `preview` tell what would come out."""
        return await self._type(request.type).create(request)

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Read what is there."""
        return await self._type(request.type).read(request)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Update, or with `preview` tell what would come out."""
        return await self._type(request.type).update(request)

    async def delete(self, request: DeleteRequest) -> None:
        """Delete."""
        await self._type(request.type).delete(request)

    async def cancel(self) -> None:
        """End what runs."""
        self._builder.cancel()

    def _type(self, token: str) -> ResourceType:
        # A URN's type starts with its parents' types.
        own = token.rpartition("$")[2]
        if own not in self._types:
            raise ProviderError(f"type: {own!r} is unknown to this provider; it knows {', '.join(self._types)}")
        return self._types[own]
