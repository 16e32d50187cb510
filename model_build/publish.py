"""Puts a finished image into its registry: layers, manifest, report, and the inputs' tag last."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_build.errors import RegistryError
from model_build.oci.auth import is_loopback
from model_build.oci.credentials import docker_folder
from model_build.oci.descriptor import INDEX, Descriptor
from model_build.oci.image import Base, Draft, Image
from model_build.oci.memory import Memory
from model_build.oci.mirrors import Source
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push_draft
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach, attached, referrers
from model_build.oci.registry import Registry
from model_build.supply.subject import Subject

if TYPE_CHECKING:  # only a build attests, and the library of keys takes a while to load
    from model_build.supply.attestations import Attestations

REPORT_TYPE = "application/vnd.modelstack.report.v1+json"
PAGE_TYPE = "application/vnd.modelstack.report.v1+html"


@dataclass(frozen=True)
class Destination:
    """Where an image goes, and where its base lies."""

    registry: Registry
    repository: str
    source: Source
    base: Reference
    memory: Memory | None = None

    @classmethod
    def of(cls, push_to: str, base: str, memory: Memory | None = None) -> Destination:
        """Return the destination HOST/REPOSITORY with docker's credentials; raises RegistryError."""
        target, found = Reference.parse(push_to), Reference.parse(base)
        if target.tag or target.digest:
            raise RegistryError(f"--push: {push_to!r} names a tag or digest; write HOST/REPOSITORY alone")
        folder = docker_folder()
        registry = Registry.of_docker(target.host, folder)
        same = found.host == target.host
        source = Source((registry,)) if same else Source.of_docker(found.host, folder)
        return cls(registry, target.repository, source, found, memory)

    def check(self, tag: str) -> None:
        """Raise RegistryError where the registry does not answer or may not be read."""
        self.registry.head(self.repository, tag)

    def base_for(self, platform: str) -> Base:
        """Return the base image for `platform`; raises RegistryError where it or its registry cannot be had."""
        return pull_base(self.source, self.base, platform)

    def image(self, digest: str) -> str:
        """Return the reference that a pod names."""
        return f"{self.registry.host}/{self.repository}@{digest}"


def publish(
    drafts: Sequence[Draft],
    to: Destination,
    tag: str,
    attachments: Mapping[str, bytes],
    told: Callable[[int, int], None],
    *,
    attestations: Attestations | None = None,
) -> tuple[str, bool]:
    """Push the images of `drafts` and return the digest the tag names, and whether it is the one pushed now.

    `attachments` (type → content) and `attestations` become referrers of what the tag names, before it names them.
    Of two builds of the same inputs the first to push wins: a tag stays where the same key signed what it names or,
    where nothing is signed, on loopback. Whoever may push elsewhere could have planted it, so there it is moved to
    what was built here.
    """
    target = Target(to.registry, to.repository, to.source, to.memory)
    images = [push_draft(draft, target, told=told) for draft in drafts]
    body, media_type = _top(images)
    subject = Subject(to.registry, to.repository, Descriptor.of(body, media_type))
    earlier = to.registry.head(to.repository, tag)
    if earlier is not None and earlier.digest != subject.digest and _stays(earlier, to, attestations):
        return earlier.digest, False
    to.registry.put(to.repository, subject.digest, body, media_type)
    _attach(subject, attachments, attestations)
    if earlier is None or earlier.digest != subject.digest:
        # A registry whose tags never move refuses the same one again.
        to.registry.put(to.repository, tag, body, media_type)
    return subject.digest, True


def _stays(earlier: Descriptor, to: Destination, attestations: Attestations | None) -> bool:
    if attestations is None or attestations.key is None:
        return is_loopback(to.registry.host)
    return attestations.are_sealed(Subject(to.registry, to.repository, earlier))


def _attach(subject: Subject, attachments: Mapping[str, bytes], attestations: Attestations | None) -> None:
    if attestations is not None and attestations.are_sealed(subject):
        return
    whole = {**attachments, **(attestations.bill(subject) if attestations else {})}
    signing = attestations is not None and attestations.key is not None
    for kind, content in whole.items():
        # What lies there already may be anyone's: signed is what this build made.
        if signing or not referrers(subject.registry, subject.repository, subject.digest, kind):
            attach(subject.registry, subject.repository, subject.descriptor, kind, content, media_type=kind)
    if attestations is not None:
        attestations.seal(subject, whole)


def read_report(
    registry: Registry, repository: str, digest: str, counts: Callable[[bytes], bool] = lambda _: True
) -> dict[str, Any] | None:
    """Return the last report attached to an image that `counts`, or None; raises RegistryError where it is no JSON."""
    found = reversed(referrers(registry, repository, digest, REPORT_TYPE))
    contents = (attached(registry, repository, one.digest) for one in found)
    content = next((one for one in contents if one is not None and counts(one)), None)
    if content is None:
        return None
    try:
        told = json.loads(content)
    except ValueError as error:
        raise RegistryError(
            f"registry {registry.host}: the report of {repository}@{digest} is no JSON ({error}); build again"
        ) from error
    return told if isinstance(told, dict) else None


def _top(images: Sequence[Image]) -> tuple[bytes, str]:
    """Return the manifest that the tag names: the one image's, or an index of several platforms."""
    if len(images) == 1:
        return images[0].manifest_bytes, images[0].descriptor.media_type
    listed = []
    for image in images:
        system, architecture = image.platform.split("/")
        one = Descriptor.of(image.manifest_bytes, image.descriptor.media_type)
        listed.append({**one.json(), "platform": {"os": system, "architecture": architecture}})
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return json.dumps(index, sort_keys=True, separators=(",", ":")).encode(), INDEX
