"""What the registry has of some inputs already, and whether it counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.errors import SignatureError
from provider.registry import Repository
from provider.trust import Trust
from provider.wanted import Wanted


@dataclass(frozen=True)
class Made:
    """An image that exists, and what its build told."""

    digest: str
    told: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """An image that counts as made from the inputs, or why what the registry has does not."""

    made: Made | None
    why_not: str = ""


@dataclass(frozen=True)
class Finder:
    """Looks where an image of `wanted` lies; every method raises RegistryError."""

    wanted: Wanted
    project: Path

    @property
    def repository(self) -> Repository:
        """Where the image lies."""
        return Repository(self.wanted.push, self.wanted.repository, self.wanted.docker_config, self.project)

    @property
    def trust(self) -> Trust:
        """Which keys count for it."""
        return Trust(self.wanted.public_keys, self.wanted.signing_key, self.project)

    def find(self) -> Found:
        """Return what the tag of the inputs names, where that tag can count."""
        repository = self.repository
        digest = repository.digest(self.wanted.inputs_tag) if self.trust.looks_at(self.wanted.push) else None
        if digest is None:
            return Found(None)
        try:
            report = self.signed_report(digest) if self.trust.required else repository.report(digest)
        except SignatureError as error:
            return Found(None, str(error))
        return Found(Made(digest, report or {}))

    def counts(self, digest: str) -> bool:
        """Return whether an image that was had before is there still, and signed where that is asked for."""
        if self.repository.digest(digest) is None:
            return False
        try:
            self.require_signed(digest)
        except SignatureError:
            return False
        return True

    def require_signed(self, digest: str) -> None:
        """Raise SignatureError where a signature is asked for that the image does not have."""
        if self.trust.required:
            self.signed_report(digest)

    def signed_report(self, digest: str) -> dict[str, Any]:
        """Return the report that a key which counts vouches for; raises SignatureError."""
        return self.repository.signed_report(digest, self.trust.public_keys(), self.wanted.inputs_hash)
