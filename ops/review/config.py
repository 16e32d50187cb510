"""The settings of a review stack: those of another stack, with a place of its own for all that it makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import settings
from components import images, place
from components.place import Place
from ops.engine import EngineError, State, resources
from ops.review.keys import PRIVATE, PUBLIC
from ops.review.names import ROOM, stack_of
from settings import ReviewSettings, Settings, SettingsError

ENCRYPTION = ("encryptionsalt", "encryptedkey", "secretsprovider")
PINNED = "modelstack:index:PinnedImage"


@dataclass(frozen=True)
class Source:
    """The stack whose settings are taken, read from its file."""

    stack: str
    document: Mapping[str, Any]
    chosen: Settings
    here: Place

    @property
    def secrets_provider(self) -> str | None:
        """What encrypts that stack's secrets, and so the review stack's; the backend's default where None."""
        found = self.document.get("secretsprovider")
        return str(found) if found else None

    @property
    def kubeconfig(self) -> str:
        """Path of the kubeconfig: nothing is known later, as it is where a stack makes its cluster."""
        return str(self.here.kubeconfig)

    def prefix(self, number: int) -> str:
        """What the repositories of a review stack begin with: none of another stack's lies below it."""
        return f"{ROOM}/{self.here.registry.prefix}/{number}"


def read(project: Path, stack: str) -> Source:
    """Return a stack's settings; raises EngineError where they cannot be those of another stack."""
    path = project / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config = dict(document.get("config") or {})
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise EngineError(f"--from: {path.name} cannot be read ({said}); write it, or name another stack") from error
    _refuse_secrets(path.name, config)
    texts = {key: one if isinstance(one, str) else json.dumps(one) for key, one in config.items()}
    try:
        chosen = settings.load(texts, project, stack)
        if chosen.aws:
            raise EngineError(f"--from: {path.name} makes a cluster of its own; name a stack whose cluster is there")
        return Source(stack, document, chosen, place.find(chosen))
    except SettingsError as error:
        raise EngineError(str(error)) from None


def _unpinned(model: Mapping[str, Any]) -> dict[str, Any]:
    # A review shows what the pull request's recipe gives, whatever its source was rolled back to.
    return {key: one for key, one in model.items() if key != "pin"}


def document(source: Source, mark: ReviewSettings, pins: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the review stack with this mark; `pins` are tags that the source stack has pinned."""
    number = mark.pull_request
    kept = {key: one for key, one in source.document.items() if key not in ENCRYPTION}
    config = dict(kept.get("config") or {})
    config.pop("modelstack:namespace", None)
    config["modelstack:registry"] = _registry(source, number)
    config["modelstack:base"] = pins.get(source.here.base, source.here.base)
    config["modelstack:models"] = {
        name: {**_unpinned(one), **({"base": pins.get(one["base"], one["base"])} if one.get("base") else {})}
        for name, one in config["modelstack:models"].items()
    }
    config |= _images(source, pins) | _exposure(source, config, number)
    config["modelstack:review"] = mark.told
    return {**kept, "config": config}


def pins_of(state: State) -> dict[str, str]:
    """Return reference by tag → by digest, as a stack has pinned them, so that both run the same."""
    found = ((one.get("outputs") or {}) for one in resources(state) if one["type"] == PINNED)
    return {str(one["image"]): str(one["reference"]) for one in found if one.get("image") and one.get("reference")}


def _registry(source: Source, number: int) -> dict[str, Any]:
    there = source.here.registry
    origin = {"prefix": there.prefix, "publicKeys": list(there.public_keys)}
    own = {
        "push": there.push,
        "pull": there.pull,
        "prefix": source.prefix(number),
        "signingKey": f"env://{PRIVATE}",
        "publicKeys": [f"env://{PUBLIC}"],
        "copyFrom": origin,
    }
    return own | ({"dockerConfig": there.docker_config} if there.docker_config else {})


def _images(source: Source, pins: Mapping[str, str]) -> dict[str, Any]:
    named = source.chosen.images
    wanted = {name: named.reference(name) for name in (*named.named, *images.needed(source.chosen))}
    pinned = {name: pins[one] for name, one in wanted.items() if one in pins}
    kept = {name: named.reference(name) for name in named.named}
    return {"modelstack:images": kept | pinned} if kept | pinned else {}


def _exposure(source: Source, config: Mapping[str, Any], number: int) -> dict[str, Any]:
    exposure = source.chosen.exposure
    if exposure is None or not exposure.routed or not exposure.host:
        return {}
    # One name leads to one stack alone.
    return {"modelstack:exposure": {**config["modelstack:exposure"], "host": f"{stack_of(number)}.{exposure.host}"}}


def _refuse_secrets(name: str, config: Mapping[str, Any]) -> None:
    secret = next((key for key, one in config.items() if _is_secret(one)), None)
    if secret:
        raise EngineError(
            f"{name}: {secret}: is a secret that another stack cannot read; keep it in an `environment` of the Pulumi "
            "service or a file, or name a stack without secrets with --from"
        )


def _is_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return set(value) == {"secure"} or any(map(_is_secret, value.values()))
    return isinstance(value, list) and any(map(_is_secret, value))
