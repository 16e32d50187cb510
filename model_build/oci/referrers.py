"""What is attached to an image: manifests of their own that name it as their subject."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from model_build.errors import RegistryError
from model_build.oci.descriptor import EMPTY, INDEX, MANIFEST, Descriptor, digest_of
from model_build.oci.registry import Manifest, Registry
from model_build.oci.transport import LARGEST_ANSWER
from model_build.oci.upload import put_blob

_EMPTY_BODY = b"{}"


def attach(
    registry: Registry,
    repository: str,
    subject: Descriptor,
    artifact_type: str,
    content: bytes,
    *,
    media_type: str = "application/json",
) -> str:
    """Attach `content` to the image `subject` and return the digest of the manifest that holds it.

    Where the registry has no referrers API it is listed under the fallback tag; of two that attach to one image
    in the same moment there, one may be lost.
    """
    layer = Descriptor(media_type, digest_of(content), len(content))
    return attach_layers(registry, repository, subject, artifact_type, [(layer, content)])


def attach_layers(
    registry: Registry,
    repository: str,
    subject: Descriptor,
    artifact_type: str,
    layers: Sequence[tuple[Descriptor, bytes]],
) -> str:
    """Attach one manifest of several layers to the image `subject`, as `attach` does one of one layer."""
    for content in (_EMPTY_BODY, *(content for _, content in layers)):
        put_blob(registry, repository, content)
    told = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": Descriptor.of(_EMPTY_BODY, EMPTY).json(),
        "layers": [layer.json() for layer, _ in layers],
        "subject": subject.json(),
    }
    return put_referring(registry, repository, subject, artifact_type, json_of(told))


def json_of(told: dict[str, Any]) -> bytes:
    """Return the bytes of a manifest, the same for the same content."""
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def put_referring(registry: Registry, repository: str, subject: Descriptor, artifact_type: str, body: bytes) -> str:
    """Store the manifest `body`, whose subject is `subject`, so that it is listed; returns its digest."""
    found = Descriptor.of(body, MANIFEST)
    if not registry.put_referrer(repository, body):
        listed = Descriptor(MANIFEST, found.digest, found.size, {"artifactType": artifact_type})
        _list_under_fallback(registry, repository, subject, listed)
    return found.digest


def referrers(
    registry: Registry, repository: str, digest: str, artifact_type: str | None = None
) -> tuple[Descriptor, ...]:
    """Return the manifests attached to `digest`, oldest first, of one type or all."""
    listed = registry.referrers(repository, digest)
    try:
        if listed is None:
            listed = _listed_in(registry.get(repository, fallback_tag(digest)))
        found = [Descriptor.parse(one) for one in listed]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"registry {registry.host}: the list of what refers to {repository}@{digest} is malformed ({error!r}); "
            f"remove the tag {fallback_tag(digest)} and attach again"
        ) from error
    return tuple(one for one in found if artifact_type in (None, one.further.get("artifactType")))


def attached(registry: Registry, repository: str, referrer: str) -> bytes | None:
    """Return the content that the referrer with this digest holds.

    None where it went, or holds none that can be read: anyone who may push attaches what they like.
    """
    manifest = registry.get(repository, referrer)
    if manifest is None:
        return None
    try:
        layer = Descriptor.parse(manifest.parsed["layers"][0])
        return registry.blob(repository, layer.digest) if layer.size <= LARGEST_ANSWER else None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of `digest` where a registry does not."""
    return digest.replace(":", "-")


def _listed_in(index: Manifest | None) -> list[dict[str, Any]]:
    return list(index.parsed.get("manifests") or ()) if index else []


def _is_list(index: Manifest) -> bool:
    """Return whether an index lists referrers alone, and so is no image, which anyone may put under a fallback tag."""
    return index.descriptor.media_type == INDEX and all("artifactType" in one for one in _listed_in(index))


def _list_under_fallback(registry: Registry, repository: str, subject: Descriptor, listed: Descriptor) -> None:
    replaced = registry.get(repository, fallback_tag(subject.digest))
    kept = [one for one in _listed_in(replaced) if one["digest"] != listed.digest]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, listed.json()]}
    body = json_of(index)
    registry.put(repository, fallback_tag(subject.digest), body, INDEX)
    if replaced is not None and replaced.digest != digest_of(body) and _is_list(replaced):
        # No tag names the earlier list any more, so that nothing else would ever remove it; some registries cannot.
        with contextlib.suppress(RegistryError):
            registry.delete(repository, replaced.digest)
