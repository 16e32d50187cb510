"""Pushes an image so that a tag never names an incomplete one, and attaches what belongs to it as referrers."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from model_build.errors import RegistryError
from model_build.oci.descriptor import CONFIG, DOCKER_INDEX, EMPTY, INDEX, MANIFEST, Descriptor, digest_of
from model_build.oci.image import Base, Image
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry

_EMPTY_BODY = b"{}"

Chunks = Callable[[], Iterator[bytes]]


def _untold(_done: int, _whole: int) -> None:
    return


def pull_base(registry: Registry, reference: Reference, platform: str) -> Base:
    """Return the image that `reference` names, for `platform`; of an index, the manifest that fits."""
    name = reference.digest or reference.tag or "latest"
    manifest = registry.get(reference.repository, name)
    if manifest is not None and manifest.descriptor.media_type in (INDEX, DOCKER_INDEX):
        manifest = registry.get(reference.repository, _of_platform(manifest.parsed, platform, reference))
    if manifest is None:
        raise RegistryError(f"registry {reference.host}: {reference} is not there; push it or correct the name")
    try:
        return _base(registry, reference, manifest.parsed, platform)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"registry {reference.host}: {reference} is no image ({error!r}); name an image for {platform}"
        ) from error


def _base(registry: Registry, reference: Reference, parsed: dict[str, Any], platform: str) -> Base:
    config = json.loads(registry.blob(reference.repository, parsed["config"]["digest"]))
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
    for one in index["manifests"]:
        told = one.get("platform", {})
        parts = (told.get("os"), told.get("architecture"), told.get("variant"))
        if platform in ("/".join(part for part in parts if part), f"{parts[0]}/{parts[1]}"):
            return str(one["digest"])
    raise RegistryError(f"registry {reference.host}: {reference} has nothing for {platform}; name another base")


def push(
    image: Image,
    registry: Registry,
    repository: str,
    tags: Iterable[str] = (),
    *,
    source: Registry | None = None,
    told: Callable[[int, int], None] = _untold,
) -> str:
    """Push what is missing and return the digest: blobs, then the manifest, then the tags.

    `source` is where the base lies, if elsewhere; `told` gets the bytes done and their sum.
    """
    whole = sum(one.size for one in _carried(image)) + sum(layer.size for layer in image.layers)
    sending = _Sending(registry, repository, told, whole)
    for one in _carried(image):
        _carry(one, image.base, sending, source)
        sending.finish(one.size)
    for layer in image.layers:
        if not registry.has_blob(repository, layer.digest):
            registry.upload(repository, layer.digest, layer.size, sending.counted(layer.open))
        sending.finish(layer.size)
    _push_bytes(registry, repository, image.config_bytes)
    digest = registry.put(repository, image.digest, image.manifest_bytes)
    for tag in tags:
        registry.put(repository, tag, image.manifest_bytes)
    return digest


@dataclass
class _Sending:
    """Where blobs go, and how many bytes of the whole are done."""

    registry: Registry
    repository: str
    told: Callable[[int, int], None]
    whole: int
    done: int = 0

    def finish(self, size: int) -> None:
        """Count a blob as done."""
        self.done += size
        self.told(self.done, self.whole)

    def counted(self, chunks: Chunks) -> Chunks:
        """Return `chunks` that tell how far they are; started again, they count from the blob's start."""

        def run() -> Iterator[bytes]:
            sent = self.done
            for chunk in chunks():
                yield chunk
                sent += len(chunk)
                self.told(sent, self.whole)

        return run


def _carried(image: Image) -> tuple[Descriptor, ...]:
    return image.base.layers if image.base else ()


def _carry(one: Descriptor, base: Base | None, to: _Sending, source: Registry | None) -> None:
    """Bring one layer of the base: it is there, or mounted from the base's repository, or copied."""
    if base is None or to.registry.has_blob(to.repository, one.digest):
        return
    repository = base.reference.repository
    here = base.reference.host == to.registry.host
    if here and to.registry.mount(to.repository, one.digest, repository):
        return
    origin = to.registry if here else source or Registry(base.reference.host)
    chunks = to.counted(lambda: origin.stream(repository, one.digest))
    to.registry.upload(to.repository, one.digest, one.size, chunks)


def _push_bytes(registry: Registry, repository: str, body: bytes) -> Descriptor:
    described = Descriptor.of(body, CONFIG)
    if not registry.has_blob(repository, described.digest):
        registry.upload(repository, described.digest, described.size, lambda: iter((body,)))
    return described


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
    _push_bytes(registry, repository, _EMPTY_BODY)
    blob = _push_bytes(registry, repository, content)
    told = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": Descriptor.of(_EMPTY_BODY, EMPTY).json(),
        "layers": [Descriptor(media_type, blob.digest, blob.size).json()],
        "subject": subject.json(),
    }
    body = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    if not registry.put_referrer(repository, body):
        found = Descriptor.of(body, MANIFEST)
        listed = Descriptor(MANIFEST, found.digest, found.size, {"artifactType": artifact_type})
        _list_under_fallback(registry, repository, subject, listed)
    return Descriptor.of(body, MANIFEST).digest


def referrers(
    registry: Registry, repository: str, digest: str, artifact_type: str | None = None
) -> tuple[Descriptor, ...]:
    """Return the manifests attached to `digest`, oldest first, of one type or all."""
    index = registry.referrers(repository, digest) or _fallback(registry, repository, digest)
    found = (Descriptor.parse(one) for one in index.get("manifests") or ())
    return tuple(one for one in found if artifact_type in (None, one.further.get("artifactType")))


def attached(registry: Registry, repository: str, referrer: str) -> bytes:
    """Return the content that the referrer with this digest holds."""
    manifest = registry.get(repository, referrer)
    if manifest is None:
        raise RegistryError(f"registry {registry.host}: {repository}@{referrer} is not there; attach it again")
    return registry.blob(repository, manifest.parsed["layers"][0]["digest"])


def fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of `digest` where a registry does not."""
    return digest.replace(":", "-")


def _fallback(registry: Registry, repository: str, digest: str) -> dict[str, Any]:
    manifest = registry.get(repository, fallback_tag(digest))
    return manifest.parsed if manifest else {}


def _list_under_fallback(registry: Registry, repository: str, subject: Descriptor, listed: Descriptor) -> None:
    replaced = registry.head(repository, fallback_tag(subject.digest))
    before = _fallback(registry, repository, subject.digest).get("manifests") or []
    kept = [one for one in before if one["digest"] != listed.digest]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, listed.json()]}
    body = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    registry.put(repository, fallback_tag(subject.digest), body, INDEX)
    if replaced is not None and replaced.digest != digest_of(body):
        # No tag names the earlier list any more, so that nothing else would ever remove it; some registries cannot.
        with contextlib.suppress(RegistryError):
            registry.delete(repository, replaced.digest)
