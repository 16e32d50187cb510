"""An image in a registry, and what is signed beside it: where cosign puts it and where it looks."""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from pydantic import Field, ValidationError

from model_build.errors import RegistryError
from model_build.oci.descriptor import Descriptor
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach_layers, attached, fallback_tag, referrers
from model_build.oci.registry import Manifest, Registry
from model_build.oci.transport import LARGEST_ANSWER
from model_build.supply import dsse, simple_signing
from model_build.supply.dsse import SignedStatement
from model_build.supply.part import Part
from model_build.supply.simple_signing import SimpleSigned

SIGNATURE = "dev.cosignproject.cosign/signature"
# Whoever may push can attach as much as they like; nobody has to read it all.
MOST = 64


@dataclass(frozen=True)
class Shelf:
    """Where cosign keeps one kind of thing: a manifest under a tag with `suffix`, which refers to the image too."""

    suffix: str
    artifact_type: str
    media_type: str

    def tag(self, digest: str) -> str:
        """Return the tag under which cosign looks for the things of an image."""
        return f"{fallback_tag(digest)}{self.suffix}"


SIGNATURES = Shelf(".sig", "application/vnd.dev.cosign.artifact.sig.v1+json", simple_signing.MEDIA_TYPE)
STATEMENTS = Shelf(".att", "application/vnd.dev.cosign.artifact.att.v1+json", dsse.ENVELOPE)


def _nothing(_: SignedStatement) -> bool:
    return False


class _Layer(Part):
    media_type: str = Field(alias="mediaType")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def signature(self) -> bytes:
        """The signature (DER) in the annotations, empty where there is none."""
        try:
            return base64.b64decode(self.annotations.get(SIGNATURE, ""), validate=True)
        except binascii.Error:
            return b""


class _Manifest(Part):
    layers: tuple[_Layer, ...]


@dataclass(frozen=True)
class Subject:
    """One image by digest, in its registry."""

    registry: Registry
    repository: str
    descriptor: Descriptor

    @classmethod
    def of(cls, registry: Registry, reference: Reference) -> "Subject":
        """Return the image that a tag or digest names; raises RegistryError where it is not there."""
        found = registry.head(reference.repository, reference.digest or reference.tag or "latest")
        if found is None:
            raise RegistryError(f"registry {registry.host}: {reference} is not there; push it or correct the name")
        return cls(registry, reference.repository, found)

    @property
    def digest(self) -> str:
        """Digest of the image."""
        return self.descriptor.digest

    @property
    def name(self) -> str:
        """HOST/REPOSITORY."""
        return f"{self.registry.host}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"

    def signatures(self) -> tuple[SimpleSigned, ...]:
        """Return the signatures in cosign's own form."""
        kept = ((layer.signature, layer) for layer in self._shelved(SIGNATURES))
        return tuple(SimpleSigned(self._content(layer), signature) for signature, layer in kept if signature)

    def statements(self) -> tuple[SignedStatement, ...]:
        """Return the signed statements about the image, those in bundles too; what is malformed is left out."""
        found = []
        for layer in self._shelved(STATEMENTS):
            with suppress(ValueError):
                found.append(SignedStatement.of_envelope(self._content(layer)))
        for layer in _layers(self._referring(dsse.BUNDLE)):
            with suppress(ValueError):
                found.append(SignedStatement.of_bundle(self._content(layer)))
        return tuple(found)

    def add_signature(self, signed: SimpleSigned) -> None:
        """Attach a signature before those that are there."""
        annotations = {SIGNATURE: base64.b64encode(signed.signature).decode()}
        self._add(SIGNATURES, signed.content, annotations)

    def add_statement(
        self, signed: SignedStatement, predicate_type: str, instead_of: Callable[[SignedStatement], bool] = _nothing
    ) -> None:
        """Attach a signed statement before those that are there, and drop those that it stands `instead_of`."""

        def stays(content: bytes) -> bool:
            with suppress(ValueError):
                return not instead_of(SignedStatement.of_envelope(content))
            return True

        self._add(STATEMENTS, signed.envelope, {SIGNATURE: "", "predicateType": predicate_type}, stays)

    def attached(self, artifact_type: str) -> tuple[bytes, ...]:
        """Return the content of each referrer of one type."""
        found = (attached(self.registry, self.repository, one.digest) for one in self._listed(artifact_type))
        return tuple(one for one in found if one is not None)

    def _add(
        self, shelf: Shelf, content: bytes, annotations: dict[str, str], stays: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        added = replace(Descriptor.of(content, shelf.media_type), further={"annotations": annotations})
        kept = [(_described(layer, len(body)), body) for layer, body in self._contents(shelf) if stays(body)]
        layers = [(added, content), *kept][:MOST]
        before = self._superseded(shelf)
        digest = attach_layers(
            self.registry, self.repository, self.descriptor, shelf.artifact_type, layers, instead_of=before
        )
        manifest = self.registry.get(self.repository, digest)
        if manifest is None:
            raise RegistryError(f"registry {self.registry.host}: {self.repository}@{digest} went; sign again")
        self.registry.put(self.repository, shelf.tag(self.digest), manifest.body)
        if before not in (None, digest):
            # Some registries remove nothing; what is superseded then lies beside.
            with suppress(RegistryError):
                self.registry.delete(self.repository, str(before))

    def _superseded(self, shelf: Shelf) -> str | None:
        """Return the manifest under cosign's tag, where all that it holds is taken over by the next one."""
        tagged = self.registry.get(self.repository, shelf.tag(self.digest))
        if tagged is None:
            return None
        own = [layer for layer in _layers([tagged]) if layer.media_type == shelf.media_type]
        whole = tagged.parsed.get("artifactType") == shelf.artifact_type and len(own) < MOST
        return tagged.digest if whole and len(own) == len(tagged.parsed.get("layers") or ()) else None

    def _contents(self, shelf: Shelf) -> Iterator[tuple[_Layer, bytes]]:
        for layer in self._shelved(shelf):
            yield layer, self._content(layer)

    def _shelved(self, shelf: Shelf) -> list[_Layer]:
        """Return what lies under cosign's tag, then what refers to the image without being there."""
        tagged = self.registry.get(self.repository, shelf.tag(self.digest))
        manifests = (*([tagged] if tagged else []), *self._referring(shelf.artifact_type))
        found: list[_Layer] = []
        for layer in _layers(manifests):
            if layer.media_type == shelf.media_type and layer not in found:
                found.append(layer)
        return found

    def _content(self, layer: _Layer) -> bytes:
        return self.registry.blob(self.repository, layer.digest)

    def _listed(self, artifact_type: str) -> tuple[Descriptor, ...]:
        return referrers(self.registry, self.repository, self.digest, artifact_type)[:MOST]

    def _referring(self, artifact_type: str) -> Iterator[Manifest]:
        for one in self._listed(artifact_type):
            manifest = self.registry.get(self.repository, one.digest)
            if manifest is not None:
                yield manifest


def _described(layer: _Layer, size: int) -> Descriptor:
    return Descriptor(layer.media_type, layer.digest, size, {"annotations": layer.annotations})


def _layers(manifests: Iterable[Manifest]) -> Iterator[_Layer]:
    """Yield the first layers of all `manifests` that can be read; a manifest that is malformed has none."""
    left = MOST
    for manifest in manifests:
        with suppress(ValidationError):
            found = _Manifest.model_validate_json(manifest.body).layers[:left]
            left -= len(found)
            yield from (one for one in found if one.size <= LARGEST_ANSWER)
