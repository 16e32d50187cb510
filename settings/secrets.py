"""Secrets that lie in AWS Secrets Manager, and how they come into a stack's namespace."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from settings.base import Frozen, Label

Key = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$", description="of the Secret")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_+=.@-]+$", max_length=512, description="of Secrets Manager")]


class RemoteSettings(Frozen):
    """Where a value lies."""

    name: Name
    property: str | None = Field(
        default=None, min_length=1, description="a field of its JSON; all of it where not given"
    )


class SecretSettings(Frozen):
    """A Secret of the namespace."""

    type: Literal["Opaque", "kubernetes.io/tls"] = "Opaque"
    keys: dict[Key, RemoteSettings] = Field(min_length=1, max_length=50)


class ExternalSecretsSettings(Frozen):
    """What External Secrets, which the cluster has, brings into the stack's namespace."""

    operator: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$", description="arn of the role that it runs as"
    )
    refresh: str = Field(default="1h", pattern=r"^[1-9][0-9]*[smh]$", description="it looks again after so long")
    secrets: dict[Label, SecretSettings] = Field(min_length=1, max_length=50)
