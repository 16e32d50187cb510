"""Registry: where a stack's images lie, with a tag turned into a digest where one is named by tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from provider.resources import ModelImageArgs, PinnedImage, PinnedImageArgs
from settings import CopySettings, ModelSettings


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """An existing OCI registry."""

    push: str
    """HOST[:PORT] that images are pushed to."""
    pull: str
    """HOST[:PORT] that nodes pull from."""
    docker_config: str | None = None
    """Folder with a docker `config.json` that holds the registry's credentials."""
    prefix: str = "modelstack"
    """What the models' repositories begin with; review stacks push below one of their own."""
    signing_key: str | None = None
    """Private key that signs what is built: a file, or `env://NAME` of a variable."""
    public_keys: tuple[str, ...] = ()
    """Files of public keys; an image that none of them verifies is not used."""
    repositories: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """Model → its repository, where the stack makes them; else the first push does."""

    def repository(self, model: str) -> str:
        """Return the repository of a model."""
        return f"{self.prefix}/{model}"

    copy_from: CopySettings | None = None
    """Where other stacks' images lie, which are copied where they count."""


class Registry(pulumi.ComponentResource):
    """An OCI registry; a model has one repository for all stacks, so that a digest is shared."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Registry", name, None, opts)
        self._args = args
        self.register_outputs({"push": args.push, "pull": args.pull})

    def model_image(self, name: str, model: ModelSettings, base: pulumi.Input[str]) -> ModelImageArgs:
        """Return what makes a model's image, on `base` or one of its own; no stack's name is part of it."""
        base = base if model.base is None else self.by_digest(f"{name}-base", model.base)
        origin = self._args.copy_from
        return ModelImageArgs(
            recipe=model.recipe,
            push=self._args.push,
            pull=self._args.pull,
            repository=self._args.repository(name),
            base=base,
            docker_config=self._args.docker_config,
            signing_key=self._args.signing_key,
            public_keys=list(self._args.public_keys) or None,
            pin=model.pin,
            copy_from=None if origin is None else f"{origin.prefix}/{name}",
            copy_keys=list(origin.public_keys) or None if origin else None,
        )

    def has(self, name: str) -> pulumi.ResourceOptions:
        """Return the options of what is pushed: a repository that the stack makes comes first."""
        made = self._args.repositories.get(name)
        return pulumi.ResourceOptions(depends_on=[made] if made else [])

    def by_digest(self, name: str, reference: str) -> pulumi.Input[str]:
        """Return `reference` by digest: as it is where it has one, else as the first `up` finds the tag."""
        if "@sha256:" in reference:
            return reference
        args = PinnedImageArgs(image=reference, docker_config=self._args.docker_config)
        return PinnedImage(name, args, pulumi.ResourceOptions(parent=self)).reference
