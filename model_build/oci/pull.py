"""A base image as it lies in a registry."""

import json
from typing import Any

from model_build.errors import RegistryError
from model_build.oci.descriptor import DOCKER_INDEX, INDEX, Descriptor
from model_build.oci.image import Base
from model_build.oci.mirrors import Source
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry


def pull_base(registry: Registry | Source, reference: Reference, platform: str) -> Base:
    """Return the image that `reference` names, for `platform`; of an index, the manifest that fits."""
    name = reference.digest or reference.tag or "latest"
    manifest = registry.get(reference.repository, name)
    try:
        if manifest is not None and manifest.descriptor.media_type in (INDEX, DOCKER_INDEX):
            manifest = registry.get(reference.repository, _of_platform(manifest.parsed, platform, reference))
        if manifest is not None:
            return _base(registry, reference, manifest.parsed, platform)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"registry {reference.host}: {reference} is no image ({error!r}); name an image for {platform}"
        ) from error
    raise RegistryError(f"registry {reference.host}: {reference} is not there; push it or correct the name")


def _base(registry: Registry | Source, reference: Reference, parsed: dict[str, Any], platform: str) -> Base:
    config = json.loads(registry.blob(reference.repository, Descriptor.parse(parsed["config"]).digest))
    layers = tuple(Descriptor.parse(one) for one in parsed["layers"])
    found = f"{config.get('os')}/{config.get('architecture')}"
    if found != "/".join(platform.split("/")[:2]):
        raise RegistryError(
            f"registry {reference.host}: {reference} is for {found}, wanted is {platform}; name another"
        )
    ids = config["rootfs"]["diff_ids"]
    if len(ids) != len(layers):
        raise RegistryError(
            f"registry {reference.host}: {reference} has {len(layers)} layers and {len(ids)} diff ids; push it again"
        )
    return Base(reference, layers, config)


def _of_platform(index: dict[str, Any], platform: str, reference: Reference) -> str:
    exact: dict[str, str] = {}
    near: dict[str, str] = {}
    for one in index["manifests"]:
        told = one.get("platform") or {}
        parts = (told.get("os"), told.get("architecture"), told.get("variant"))
        digest = Descriptor.parse(one).digest
        exact.setdefault("/".join(part for part in parts if part), digest)
        near.setdefault(f"{parts[0]}/{parts[1]}", digest)
    # What asks for more of a processor than its name says comes last.
    found = exact.get(platform) or near.get(platform)
    if found is not None:
        return found
    raise RegistryError(f"registry {reference.host}: {reference} has nothing for {platform}; name another base")
