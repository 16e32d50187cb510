"""Password: made once with the first `up` and kept in state as a secret, so that nobody has to think of one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

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

from provider.errors import ProviderError
from provider.inputs import checked
from provider.values import unknown, wrap

BYTES = 32


@dataclass(frozen=True)
class PasswordType:
    """Answers the engine for Password resources: 43 letters and digits of 32 random bytes, URL-safe."""

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Refuse inputs: there are none."""
        return checked("Password", request.new_inputs, ())

    async def diff(self, request: DiffRequest) -> DiffResponse:  # noqa: ARG002 (nothing can change)
        """Tell that nothing changes; `pulumi up --replace` makes another."""
        return DiffResponse(changes=False)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Make a password."""
        value = unknown() if request.preview else wrap(secrets.token_urlsafe(BYTES))
        return CreateResponse(None if request.preview else "password", {"value": value.with_secret(True)})

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Return what the state holds: there is no other place."""
        return ReadResponse(request.resource_id, request.properties, {})

    async def update(self, request: UpdateRequest) -> UpdateResponse:  # noqa: ARG002 (nothing can change)
        """Refuse: a password is replaced, never changed."""
        raise ProviderError("Password: has nothing to update; replace it")

    async def delete(self, request: DeleteRequest) -> None:
        """Forget it."""
