"""An OCI image layout: manifests and blobs of a registry in a folder, each blob once (image specification 1.1)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.errors import DataError
from model_build.oci.descriptor import DIGEST, INDEX, MANIFEST, Descriptor
from model_build.oci.registry import Manifest, Registry
from model_build.oci.tar import CHUNK
from model_build.oci.upload import Upload

NAME = "org.opencontainers.image.ref.name"
_VERSION = {"imageLayoutVersion": "1.0.0"}


@dataclass(frozen=True)
class FileContent:
    """A blob that lies in a file."""

    path: Path

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size

    def open(self, start: int = 0) -> Iterator[bytes]:
        """Yield them from the byte `start` on."""
        with self.path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK):
                yield chunk


@dataclass(frozen=True)
class Layout:
    """The layout in `folder`; what it reads is held to its digest. Its methods raise DataError and RegistryError."""

    folder: Path

    def blob(self, digest: str) -> Path:
        """Return the file of a blob, whether it is there or not; raises DataError for what is no digest."""
        # It becomes a path.
        if not DIGEST.fullmatch(digest):
            raise DataError(f"layout {self.folder}: {digest!r} is not sha256:<64 hex digits>; take another copy")
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def manifest(self, digest: str) -> Manifest:
        """Return a manifest of the layout."""
        path = self.blob(digest)
        try:
            body = path.read_bytes()
        except OSError as error:
            raise DataError(f"layout {self.folder}: {digest} cannot be read ({error.strerror})") from error
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise DataError(f"layout {self.folder}: {digest} holds other bytes; take another copy")
        parsed = _parsed(body, digest)
        # A list of referrers may leave it out.
        usual = INDEX if "manifests" in parsed else MANIFEST
        return Manifest(Descriptor.of(body, str(parsed.get("mediaType") or usual)), body)

    def take(self, registry: Registry, repository: str, digest: str) -> Manifest | None:
        """Copy a manifest and all it names from a registry; returns None where the registry has it no more."""
        found = registry.get(repository, digest)
        if found is None:
            return None
        for child in children(found):
            self.take(registry, repository, child)
        for blob in blobs(found):
            self._fetch(registry, repository, blob.digest)
        self._write(found.digest, [found.body])
        return found

    def put(self, registry: Registry, repository: str, digest: str) -> None:
        """Bring a manifest and all it names into a repository, what is missing there."""
        found = self.manifest(digest)
        if registry.head(repository, digest) is not None:
            return
        for child in children(found):
            if self.blob(child).exists():
                self.put(registry, repository, child)
        for blob in blobs(found):
            if not registry.has_blob(repository, blob.digest):
                Upload(registry, repository, FileContent(self.blob(blob.digest)), blob.digest).run()
        registry.put(repository, digest, found.body, found.descriptor.media_type)

    def write_index(self, named: Mapping[str, str]) -> None:
        """Write what makes the folder a layout, and which manifest each name (HOST/REPOSITORY:TAG) stands for."""
        listed = [
            {**self.manifest(digest).descriptor.json(), "annotations": {NAME: name}}
            for name, digest in sorted(named.items())
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
        (self.folder / "index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
        (self.folder / "oci-layout").write_text(json.dumps(_VERSION) + "\n")

    def missing(self, digest: str) -> list[str]:
        """Return the blobs that a manifest of the layout names and the layout lacks."""
        found = self.manifest(digest)
        lacking = [one.digest for one in blobs(found) if not self.blob(one.digest).is_file()]
        # An index may name platforms that were never pushed; one that is there is looked into.
        present = [one for one in children(found) if self.blob(one).is_file()]
        return [*lacking, *(one for child in present for one in self.missing(child))]

    def _fetch(self, registry: Registry, repository: str, digest: str) -> None:
        if not self.blob(digest).exists():
            self._write(digest, registry.stream(repository, digest))

    def _write(self, digest: str, chunks: Iterator[bytes] | list[bytes]) -> None:
        path = self.blob(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)


def children(manifest: Manifest) -> list[str]:
    """Return the digests of the manifests that an index names."""
    return [_descriptor(one, manifest).digest for one in manifest.parsed.get("manifests") or ()]


def blobs(manifest: Manifest) -> list[Descriptor]:
    """Return the configuration and layers that a manifest names, each once."""
    parsed = manifest.parsed
    told = [*([parsed["config"]] if "config" in parsed else ()), *(parsed.get("layers") or ())]
    found = {one.digest: one for one in (_descriptor(value, manifest) for value in told)}
    return list(found.values())


def _descriptor(value: dict[str, Any], manifest: Manifest) -> Descriptor:
    try:
        return Descriptor.parse(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"manifest {manifest.digest}: names no blob ({error!r}); push the image again") from error


def _parsed(body: bytes, digest: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(body)
        if isinstance(found, dict):
            return found
    raise DataError(f"layout: {digest} is no manifest; take another copy")
