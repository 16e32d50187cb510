"""ECR beside a stack's own repositories: how it scans, from where it caches, and to where it replicates."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from settings.base import Frozen, Label

# ECR asks these for a login, and takes it from a secret whose name begins so.
WITH_LOGIN = ("registry-1.docker.io", "ghcr.io", "registry.gitlab.com", "cgr.dev")
WITH_LOGIN_BELOW = (".azurecr.io",)
LOGIN = r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:ecr-pullthroughcache/[\w/+=.@-]+$"
Prefix = Annotated[Label, Field(min_length=2, max_length=30)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[1-9]$")]


class UpstreamSettings(Frozen):
    """A registry whose images ECR keeps a copy of when one is pulled."""

    registry: str = Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", description="its host")
    secret: str | None = Field(default=None, pattern=LOGIN, description="of Secrets Manager, that holds the login")

    @model_validator(mode="after")
    def _has_its_login(self) -> Self:
        asks = self.registry in WITH_LOGIN or self.registry.endswith(WITH_LOGIN_BELOW)
        if asks and self.secret is None:
            raise ValueError(
                f"registry: {self.registry} answers nobody without a login; add `secret`, the arn of one of Secrets "
                "Manager named ecr-pullthroughcache/…"
            )
        return self


class EcrSettings(Frozen):
    """Settings of the account's registry in the region: one stack alone has them."""

    scanning: Literal["basic", "enhanced"] = Field(default="basic", description="enhanced goes on after the push")
    pull_through: dict[Prefix, UpstreamSettings] = Field(default={}, description="prefix of repositories → upstream")
    replicate_to: tuple[Region, ...] = Field(default=(), max_length=25, description="regions that get what is pushed")

    @property
    def of_repositories(self) -> bool:
        """Whether anything is said of the stack's own repositories."""
        return self.scanning == "enhanced" or bool(self.replicate_to)

    def require_fits(self, region: str, account: str) -> None:
        """Raise ValueError where something is not of the region or account of the registry that it is for."""
        if region in self.replicate_to:
            raise ValueError(f"ecr.replicateTo: {region} is the region itself; name others")
        for prefix, one in self.pull_through.items():
            if one.secret and one.secret.split(":")[3:5] != [region, account]:
                raise ValueError(
                    f"ecr.pullThrough.{prefix}.secret: {one.secret!r} is of another region or account than {region} "
                    f"and {account}, and ECR reads no such one; name one there"
                )
