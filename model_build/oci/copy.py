"""Copies an image from one repository to another as it is: what is there stays, what is near is mounted, else streamed.

The manifests keep their bytes, and so the image its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from model_build.errors import RegistryError
from model_build.oci.descriptor import Descriptor
from model_build.oci.mirrors import Source
from model_build.oci.push import Counted, Elsewhere, Progress
from model_build.oci.readback import named_by
from model_build.oci.referrers import list_referrer, referrers
from model_build.oci.registry import Manifest, Registry
from model_build.oci.transport import AT_ONCE
from model_build.oci.upload import Upload

Told = Callable[[int, int], None]
# Whoever may push can attach as much as they like; nobody has to take it all along, the last of it least.
MOST = 64


@dataclass(frozen=True)
class Where:
    """One repository of a registry; every function here raises RegistryError."""

    registry: Registry
    repository: str

    def manifest(self, digest: str) -> Manifest:
        """Return a manifest that has to be there."""
        found = self.registry.get(self.repository, digest)
        if found is None:
            raise RegistryError(
                f"registry {self.registry.host}: {self.repository}@{digest} is not there; push it again"
            )
        return found


def lacking(digest: str, source: Where, target: Where) -> tuple[Descriptor, ...]:
    """Return the blobs of an image, or of all that an index names, that `target` has not."""
    named = (named_by(source.registry, manifest)[1] for manifest in _manifests(digest, source))
    blobs = {blob.digest: blob for some in named for blob in some}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        there = pool.map(lambda one: target.registry.has_blob(target.repository, one.digest), blobs.values())
        return tuple(one for one, has in zip(blobs.values(), there, strict=True) if not has)


def copy_image(digest: str, source: Where, target: Where, told: Told = lambda _done, _whole: None) -> None:
    """Copy blobs, then manifests, the one with `digest` last; `told` gets the bytes done and their sum."""
    _copy_blobs(lacking(digest, source, target), source, target, told)
    for manifest in _manifests(digest, source):
        target.registry.put(target.repository, manifest.digest, manifest.body, manifest.descriptor.media_type)


def copy_referrers(digest: str, source: Where, target: Where, *, but: frozenset[str] = frozenset()) -> int:
    """Copy what is attached to an image and not of the types `but`; returns how many were not there."""
    there = {one.digest for one in referrers(target.registry, target.repository, digest)}
    copied = 0
    for one in referrers(source.registry, source.repository, digest)[-MOST:]:
        manifest = source.registry.get(source.repository, one.digest)
        kind = str(one.further.get("artifactType") or "")
        if manifest is None or one.digest in there or kind in but:
            continue
        _copy_blobs(lacking(one.digest, source, target), source, target)
        list_referrer(target.registry, target.repository, target.manifest(digest).descriptor, manifest.body, kind)
        copied += 1
    return copied


def _manifests(digest: str, source: Where) -> Iterator[Manifest]:
    """Yield the manifests of an image, those that an index names before it."""
    manifest = source.manifest(digest)
    for child in named_by(source.registry, manifest)[0]:
        yield from _manifests(child.digest, source)
    yield manifest


def _copy_blobs(
    blobs: tuple[Descriptor, ...], source: Where, target: Where, told: Told = lambda _done, _whole: None
) -> None:
    progress = Progress(told, sum(one.size for one in blobs))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sending = [pool.submit(_copy_blob, one, source, target, progress) for one in blobs]
        try:
            for one in as_completed(sending):
                one.result()
        except BaseException:
            progress.stop(pool)
            raise


def _copy_blob(one: Descriptor, source: Where, target: Where, progress: Progress) -> None:
    place = None
    if source.registry.host == target.registry.host:
        place = target.registry.uploads.mount(target.repository, one.digest, source.repository)
        if place is None:
            progress.reach(one.digest, one.size)
            return
    counted = Counted(Elsewhere(Source((source.registry,)), source.repository, one), one.digest, progress)
    Upload(target.registry, target.repository, counted, one.digest, place).run()
    progress.reach(one.digest, one.size)
