"""A registry to pull from, which may have mirrors: what they give is held to its digest, as everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_build.errors import RegistryError
from model_build.oci.credentials import credentials_of
from model_build.oci.hosts import mirrors, places
from model_build.oci.registry import Manifest, Registry


@dataclass(frozen=True)
class Source:
    """Registries that are asked in turn; the last is the one that an image's name says, and the one that is blamed."""

    registries: tuple[Registry, ...]

    @classmethod
    def of_docker(cls, host: str, folder: Path | None) -> Source:
        """Return `host` with its mirrors, each with its own credentials."""
        found = [Registry(one.host, credentials_of(folder, one.host), one) for one in mirrors(host, places(folder))]
        return cls((*found, Registry.of_docker(host, folder)))

    def get(self, repository: str, reference: str) -> Manifest | None:
        """Return a manifest by tag or digest from the first that has it, or None."""
        for mirror in self.registries[:-1]:
            try:
                found = mirror.get(repository, reference)
            except RegistryError:
                continue
            if found is not None:
                return found
        return self.registries[-1].get(repository, reference)

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob."""
        return self._holder(repository, digest).blob(repository, digest)

    def stream(self, repository: str, digest: str) -> Iterator[bytes]:
        """Yield a blob's bytes; raises RegistryError at the end where they are not its digest's."""
        return self._holder(repository, digest).stream(repository, digest)

    def _holder(self, repository: str, digest: str) -> Registry:
        for mirror in self.registries[:-1]:
            try:
                if mirror.has_blob(repository, digest):
                    return mirror
            except RegistryError:
                continue
        return self.registries[-1]
