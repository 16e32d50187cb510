"""Brings an image from one repository of a registry to another, digest by digest, with what is attached to it."""

from __future__ import annotations

from collections.abc import Iterator

from model_build.errors import RegistryError
from model_build.oci.descriptor import INDEX, Descriptor
from model_build.oci.mirrors import Source
from model_build.oci.push import Elsewhere
from model_build.oci.referrers import fallback_tag, put_referring, referrers
from model_build.oci.registry import Manifest, Registry
from model_build.oci.upload import Upload

# Under these cosign 2 keeps signatures and attestations of an image.
SHELVES = (".sig", ".att")
# Whoever may push can attach as much as they like; nobody has to take it all along.
MOST = 64


def copy(registry: Registry, source: str, target: str, digest: str) -> None:
    """Copy the image or index `digest` and its referrers; blobs are mounted, or sent where the registry mounts none.

    Raises RegistryError; a tag never names an incomplete image, for none but those of signatures is set here.
    """
    whole = _copy_manifest(registry, source, target, digest)
    for one in referrers(registry, source, digest)[:MOST]:
        attached = registry.get(source, one.digest)
        if attached is None:
            continue
        _carry_all(registry, source, target, attached)
        kind = str(one.further.get("artifactType", ""))
        put_referring(registry, target, whole.descriptor, kind, attached.body)
    for suffix in SHELVES:
        tag = f"{fallback_tag(digest)}{suffix}"
        shelf = registry.get(source, tag)
        if shelf is not None:
            _carry_all(registry, source, target, shelf)
            registry.put(target, tag, shelf.body, shelf.descriptor.media_type)


def _copy_manifest(registry: Registry, source: str, target: str, digest: str) -> Manifest:
    found = _must(registry, source, digest)
    if registry.head(target, digest) is not None:
        return found
    if found.descriptor.media_type == INDEX:
        for one in found.parsed.get("manifests") or ():
            _copy_manifest(registry, source, target, str(one["digest"]))
    else:
        _carry_all(registry, source, target, found)
    registry.put(target, digest, found.body, found.descriptor.media_type)
    return found


def _must(registry: Registry, repository: str, digest: str) -> Manifest:
    found = registry.get(repository, digest)
    if found is None:
        raise RegistryError(f"registry {registry.host}: {repository}@{digest} went while it was copied; run this again")
    return found


def _carry_all(registry: Registry, source: str, target: str, manifest: Manifest) -> None:
    for blob in _blobs(manifest):
        if registry.has_blob(target, blob.digest):
            continue
        place = registry.uploads.mount(target, blob.digest, source)
        if place is not None:
            Upload(registry, target, Elsewhere(Source((registry,)), source, blob), blob.digest, place).run()


def _blobs(manifest: Manifest) -> Iterator[Descriptor]:
    parts = manifest.parsed
    try:
        found = [Descriptor.parse(one) for one in (parts.get("config"), *(parts.get("layers") or ())) if one]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"manifest {manifest.digest}: is malformed ({error!r}); remove it, or push it again"
        ) from error
    yield from found
