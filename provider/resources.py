"""Resource classes for programs: a model's image built from a recipe, an image pinned to its digest, a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

_WIRE = {
    "docker_config": "dockerConfig",
    "inputs_hash": "inputsHash",
    "runtime_image": "runtimeImage",
    "public_keys": "publicKeys",
    "copy_from": "copyFrom",
    "copy_keys": "copyKeys",
    "signing_key": "signingKey",
}
_PYTHON = {wire: python for python, wire in _WIRE.items()}


@dataclass(frozen=True, kw_only=True)
class ModelImageArgs:
    """What an image is built from and where it is pushed."""

    recipe: pulumi.Input[str]
    """Path of recipe.yaml, relative to the project's folder."""
    base: pulumi.Input[str]
    """Base image by digest."""
    push: pulumi.Input[str]
    """Registry host[:port] that images are pushed to."""
    repository: pulumi.Input[str]
    """Repository in the registry, as `modelstack/digits`."""
    pull: pulumi.Input[str] | None = None
    """Registry host[:port] that nodes pull from; the push host where not given."""
    docker_config: pulumi.Input[str] | None = None
    """Folder with a docker `config.json` that holds the registry's credentials."""
    signing_key: pulumi.Input[str] | None = None
    """Private key that signs what is built: a file, or `env://NAME` of a variable. The state keeps this name alone."""
    public_keys: pulumi.Input[list[str]] | None = None
    """Files of public keys, relative to the project's folder; an image that none of them verifies is not used."""
    pin: pulumi.Input[str] | None = None
    """Digest of an image that is used as it is, whatever the recipe says; nothing is built."""
    copy_from: pulumi.Input[str] | None = None
    """Another repository of the registry: an image of the same inputs that counts there is copied, not built again."""
    copy_keys: pulumi.Input[list[str]] | None = None
    """Files of the public keys that count there."""


class ModelImage(pulumi.CustomResource):
    """A model trained, optimized, gated and pushed as an image; nothing is built where its inputs' image exists."""

    image: pulumi.Output[str]
    runtime_image: pulumi.Output[str]
    """What weights alone are mounted into; empty where `image` holds everything."""
    runtime: pulumi.Output[dict[str, Any]]
    """What a pod has to know of the server."""
    digest: pulumi.Output[str]
    inputs_hash: pulumi.Output[str]
    parts: pulumi.Output[dict[str, str]]
    parsed: pulumi.Output[dict[str, Any]]
    reason: pulumi.Output[str]
    layers: pulumi.Output[list[dict[str, Any]]]
    """Digest and bytes (`size`) of each layer."""
    steps: pulumi.Output[list[dict[str, Any]]]
    metrics: pulumi.Output[dict[str, Any]]
    report: pulumi.Output[str]
    versions: pulumi.Output[list[dict[str, Any]]]
    """What the stack had, the latest first: digest, inputs hash, when `up` took it (UTC), and who ran it."""

    def __init__(self, name: str, args: ModelImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {
            "recipe": args.recipe,
            "base": args.base,
            "push": args.push,
            "pull": args.pull,
            "repository": args.repository,
            "docker_config": args.docker_config,
            "signing_key": args.signing_key,
            "public_keys": args.public_keys,
            "pin": args.pin,
            "copy_from": args.copy_from,
            "copy_keys": args.copy_keys,
        }
        outputs = (
            *("image", "runtime_image", "runtime", "digest", "inputs_hash", "parts", "parsed", "reason"),
            *("layers", "steps", "metrics", "report", "versions"),
        )
        super().__init__("modelstack:index:ModelImage", name, {**dict.fromkeys(outputs), **inputs}, opts)

    @property
    def told(self) -> dict[str, pulumi.Output[Any]]:
        """What a stack's outputs say of the image."""
        return {"image": self.image, "inputs": self.inputs_hash, "metrics": self.metrics, "report": self.report}

    def translate_input_property(self, prop: str) -> str:
        """Return the provider's name of an input."""
        return _WIRE.get(prop, prop)

    def translate_output_property(self, prop: str) -> str:
        """Return the Python name of an output."""
        return _PYTHON.get(prop, prop)


@dataclass(frozen=True, kw_only=True)
class PinnedImageArgs:
    """An image's tag that is resolved once."""

    image: pulumi.Input[str]
    """Reference with a tag or digest, as `registry.example/team/server:1.2`."""
    repin: pulumi.Input[str] | None = None
    """Any text; the tag is resolved anew when it changes."""
    docker_config: pulumi.Input[str] | None = None
    """Folder with a docker `config.json` that holds the registry's credentials."""


class PinnedImage(pulumi.CustomResource):
    """An image's digest as the first `up` found it, kept until `repin` changes."""

    image: pulumi.Output[str]
    digest: pulumi.Output[str]
    reference: pulumi.Output[str]
    current: pulumi.Output[str]
    """The digest that the tag had at the last refresh; another than `digest` where the tag has moved."""

    def __init__(self, name: str, args: PinnedImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {"image": args.image, "repin": args.repin, "docker_config": args.docker_config}
        outputs = ("digest", "reference", "current")
        super().__init__("modelstack:index:PinnedImage", name, {**dict.fromkeys(outputs), **inputs}, opts)

    def translate_input_property(self, prop: str) -> str:
        """Return the provider's name of an input."""
        return _WIRE.get(prop, prop)

    def translate_output_property(self, prop: str) -> str:
        """Return the Python name of an output."""
        return _PYTHON.get(prop, prop)


class Password(pulumi.CustomResource):
    """A password made with the first `up`; `pulumi up --replace` makes another."""

    value: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["value"])
        super().__init__("modelstack:index:Password", name, {"value": None}, pulumi.ResourceOptions.merge(opts, secret))
