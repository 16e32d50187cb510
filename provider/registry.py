"""One repository of a registry: tags, digests, and the report that a build attached to its image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_build.bake import RUNTIME_LABEL
from model_build.errors import RegistryError
from model_build.oci.copy import Where
from model_build.oci.credentials import docker_folder
from model_build.oci.files import read_file
from model_build.oci.labels import labels_of, read_labels
from model_build.oci.reference import Reference
from model_build.oci.referrers import fallback_tag, referrers
from model_build.oci.registry import Registry
from model_build.publish import REPORT_TYPE, read_report

if TYPE_CHECKING:
    from model_build.supply.keys import PublicKey
    from model_build.supply.subject import Subject

# Under these cosign 2 keeps signatures, attestations and bills of materials of an image.
COSIGN_SUFFIXES = (".sig", ".att", ".sbom")


@dataclass(frozen=True)
class Repository:
    """The repository `name` at `host`; every method raises RegistryError.

    `docker_config` is the folder, relative to `project`, of the `config.json` that holds credentials; docker's own
    where none is named.
    """

    host: str
    name: str
    docker_config: str | None
    project: Path

    def digest(self, reference: str) -> str | None:
        """Return the digest a tag or digest names; None where it is not there."""
        found = self.registry.head(self.name, reference)
        return found.digest if found else None

    def tags(self) -> list[str]:
        """Return every tag."""
        return self.registry.tags(self.name)

    def tag(self, digest: str, tag: str) -> None:
        """Point `tag` at `digest`."""
        if self.digest(tag) == digest:
            return  # a registry whose tags never move refuses the same one again
        found = self.registry.get(self.name, digest)
        if found is None:
            raise RegistryError(f"registry {self.host}: {self.name}@{digest} is not there; run `pulumi up` again")
        self.registry.put(self.name, tag, found.body, found.descriptor.media_type)

    def untag(self, tag: str) -> None:
        """Remove a tag alone."""
        self.registry.untag(self.name, tag)

    def delete(self, digest: str, held: Collection[str] = ()) -> None:
        """Remove a manifest with every tag of it, what is attached to it, and the manifests that it alone names.

        Nothing that is `held` goes: whoever may push can list any image as attached to another.
        """
        attached = {one.digest for one in referrers(self.registry, self.name, digest)}
        listings = {self.digest(f"{fallback_tag(digest)}{suffix}") for suffix in ("", *COSIGN_SUFFIXES)}
        for one in (attached | listings) - {None, *held}:
            self.registry.delete(self.name, str(one))
        children = self.children(digest)
        self.registry.delete(self.name, digest)
        for child in set(children) - self._still_named() - set(held) if children else ():
            self.delete(child, held)

    def blobs(self) -> set[str]:
        """Return the blobs of everything that a tag names, and of what is attached to it."""
        named = {found for tag in self.tags() if (found := self.digest(tag)) is not None}
        return set().union(*map(self._blobs_of, named))

    def _blobs_of(self, digest: str) -> set[str]:
        found = self.registry.get(self.name, digest)
        if found is None:
            return set()
        further = {*self.children(digest), *(one.digest for one in referrers(self.registry, self.name, digest))}
        parts = (found.parsed.get("config"), *(found.parsed.get("layers") or ()))
        return {str(one["digest"]) for one in parts if one}.union(*map(self._blobs_of, further - {digest}))

    def unlink(self, blobs: Collection[str]) -> None:
        """Take blobs out of this repository, where the registry does so; other repositories keep theirs."""
        for one in blobs:
            self.registry.unlink(self.name, one)

    def copy(self, origin: str, digest: str) -> None:
        """Bring an image and what is attached to it here from the repository `origin` of the same registry."""
        from model_build.supply.copying import copy_signed  # noqa: PLC0415

        image = replace(self, name=origin).subject(digest)
        copy_signed(image, Where(self.registry, self.name))

    def sign(self, digest: str, key: str, inputs: str, trusted: Sequence[PublicKey]) -> None:
        """Sign an image for its inputs, and again the provenance that one of the `trusted` keys signed.

        Raises SignatureError where the key cannot be used.
        """
        from model_build.supply.commands import sign_again  # noqa: PLC0415
        from model_build.supply.keys import private_key  # noqa: PLC0415

        sign_again(self.subject(digest), private_key(key), inputs, trusted)

    def _still_named(self) -> set[str]:
        """Return what a tag names, and what an index under a tag does."""
        tagged = {found for tag in self.tags() if (found := self.digest(tag)) is not None}
        return tagged | {child for one in tagged for child in self.children(one)}

    def children(self, digest: str) -> list[str]:
        """Return the manifests that an index names; none for an image of one platform."""
        found = self.registry.get(self.name, digest)
        return [str(one["digest"]) for one in (found.parsed.get("manifests") or ())] if found else []

    def mounted(self, digest: str) -> set[str]:
        """Return the runtime images that an image of weights names, of every platform; none for another image."""
        found = self.registry.get(self.name, digest)
        if found is None:
            return set()
        children = self.children(digest)
        if children:
            return set().union(*map(self.mounted, children))
        label = labels_of(self.registry, self.name, found).get(RUNTIME_LABEL)
        return set() if label is None else {label}

    def size(self, digest: str) -> int:
        """Return the bytes of the layers and configurations that an image names, of every platform."""
        found = self.registry.get(self.name, digest)
        if found is None:
            return 0
        parts = [*(found.parsed.get("layers") or ()), *([found.parsed["config"]] if "config" in found.parsed else ())]
        return sum(int(one["size"]) for one in parts) + sum(map(self.size, self.children(digest)))

    def layers(self, digest: str) -> dict[str, int]:
        """Return the bytes of each layer that an image names, of every platform, by digest; none where it is gone."""
        found = self.registry.get(self.name, digest)
        if found is None:
            return {}
        own = {str(one["digest"]): int(one["size"]) for one in found.parsed.get("layers") or ()}
        for child in self.children(digest):
            own |= self.layers(child)
        return own

    def report(self, digest: str) -> dict[str, Any] | None:
        """Return the report attached to an image."""
        return read_report(self.registry, self.name, digest)

    def labels(self, digest: str) -> Mapping[str, str]:
        """Return the labels of an image, of several platforms those of the first; none where it is not there."""
        found = self.registry.get(self.name, digest)
        if found is None:
            return {}
        children = self.children(digest)
        return self.labels(children[0]) if children else labels_of(self.registry, self.name, found)

    def runtime_digest(self, digest: str, platform: str) -> str | None:
        """Return the digest of the runtime image that an image of weights names."""
        return read_labels(self.registry, self.name, digest, platform).get(RUNTIME_LABEL)

    def signed_report(self, digest: str, keys: Sequence[PublicKey], inputs: str) -> dict[str, Any]:
        """Return the report that one of `keys` vouches for, empty where it names none.

        Raises SignatureError where none of them signed the image for these inputs.
        """
        # A stack that signs nothing does not wait for the library of keys.
        from model_build.supply.provenance import provenance  # noqa: PLC0415
        from model_build.supply.verify import verify  # noqa: PLC0415

        built = provenance(verify(self.subject(digest), keys, inputs))
        if built is None:
            return {}
        return read_report(self.registry, self.name, digest, lambda content: built.names(REPORT_TYPE, content)) or {}

    def subject(self, digest: str) -> Subject:
        """Return the image as something that may be signed."""
        from model_build.supply.subject import Subject  # noqa: PLC0415

        return Subject.of(self.registry, Reference(self.host, self.name, digest=digest))

    def file(self, digest: str, path: str) -> bytes | None:
        """Return a small file of an image; None where it has none there."""
        return read_file(self.registry, self.name, digest, path)

    @cached_property
    def registry(self) -> Registry:
        """The registry itself, with its credentials."""
        return Registry.of_docker(self.host, self._docker_folder())

    def _docker_folder(self) -> Path:
        if self.docker_config is not None:
            return self.project / self.docker_config
        return docker_folder()
