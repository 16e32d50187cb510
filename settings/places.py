"""Where a stack runs: cluster, registry, and the images of others."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from settings.base import Frozen, Image


class ClusterSettings(Frozen):
    """A cluster of one's own; without a kubeconfig the embedded platform."""

    kubeconfig: str | None = None
    context: str | None = None

    @model_validator(mode="after")
    def _context_needs_kubeconfig(self) -> Self:
        if self.context and not self.kubeconfig:
            raise ValueError("names a context without a kubeconfig; add `kubeconfig`, the file that holds the context")
        return self


Prefix = Annotated[str, Field(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$", max_length=200)]
KeyFiles = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=8)]


class CopySettings(Frozen):
    """Where other stacks' images lie: what counts there is copied and not built again."""

    prefix: Prefix
    public_keys: KeyFiles = ()


class RegistrySettings(Frozen):
    """Where images are pushed, and where nodes pull them from."""

    push: str | None = Field(default=None, min_length=1, description="the account's own in AWS")
    pull: str | None = None
    docker_config: str | None = None
    prefix: Prefix = "modelstack"
    signing_key: str | None = Field(default=None, min_length=1, description="a file, or env://NAME")
    public_keys: KeyFiles = ()
    copy_from: CopySettings | None = None

    @field_validator("signing_key", "public_keys")
    @classmethod
    def _is_no_key(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if "PRIVATE KEY" in str(value):
            raise ValueError("is a private key itself, which everyone could read here; name its file, or env://NAME")
        return value

    @model_validator(mode="after")
    def _signing_needs_public_keys(self) -> Self:
        if self.signing_key and not self.public_keys:
            raise ValueError(
                "names a signingKey without publicKeys; add `publicKeys`, a list that holds its public half"
            )
        return self


class ImageSettings(Frozen):
    """The third-party images that a stack may run, by digest, or by a tag that the first `up` pins."""

    prometheus: Image = "docker.io/prom/prometheus:v3.7.3"
    haproxy: Image = "docker.io/library/haproxy:2.6"
    redis: Image = "docker.io/library/redis:7.0"
    rollouts: Image = "quay.io/argoproj/argo-rollouts:v1.10.2"

    @property
    def named(self) -> set[str]:
        """The names of those that the settings set."""
        return self.model_fields_set

    def reference(self, name: str) -> str:
        """Return the reference of one."""
        return str(getattr(self, name))
