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
    """An image that exists, what its build told, and the runtime image that it is mounted into, by digest."""

    digest: str
    told: dict[str, Any]
    runtime: str | None = None


@dataclass(frozen=True)
class Found:
    """An image that counts as made from the inputs, or why what the registry has does not."""

    made: Made | None
    why_not: str = ""
    asked: bool = True
    """Whether the registry answered."""


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
        """Return what the pin or else the tag of the inputs names, where that tag can count."""
        repository = self.repository
        digest = repository.digest(self._name) if self._name else None
        if digest is None:
            return Found(None)
        try:
            report = self.signed_report(digest) if self.trust.required else repository.report(digest)
        except SignatureError as error:
            return Found(None, str(error))
        made = self.made_of(digest, report or {})
        return Found(made if self._is_there(made) else None)

    @property
    def _name(self) -> str | None:
        """The digest or tag to look for; None where no tag can count."""
        # A digest that the settings name is what was reviewed there: nobody can move it.
        if self.wanted.pin:
            return self.wanted.pin
        return self.wanted.inputs_tag if self.trust.looks_at(self.wanted.push) else None

    def made_of(self, digest: str, told: dict[str, Any] | None) -> Made:
        """Return an image of the registry with what its build told, which is looked up where it is None."""
        wanted, repository = self.wanted, self.repository
        # What is mounted where stands in the image itself: whoever trusts its digest need trust nothing beside it.
        runtime = repository.runtime_digest(digest, wanted.platform) if wanted.packaging == "volume" else None
        known = (repository.report(digest) or {}) if told is None else told
        return Made(digest, {**known, "layers": self.layers(digest, runtime)}, runtime)

    def layers(self, digest: str, runtime: str | None) -> list[dict[str, Any]]:
        """Return digest and bytes of each layer of an image, and of the runtime image that lies beside it."""
        beside = [] if runtime is None or self.wanted.is_base(runtime) else [runtime]
        found: dict[str, int] = {}
        for one in (digest, *beside):
            found |= self.repository.layers(one)
        return [{"digest": layer, "size": size} for layer, size in found.items()]

    def counts(self, made: Made) -> bool:
        """Return whether an image that was had before is there still, and signed where that is asked for."""
        if not self._is_there(made):
            return False
        try:
            self.require_signed(made.digest)
        except SignatureError:
            return False
        return True

    def _is_there(self, made: Made) -> bool:
        """Return whether the image is there, and the runtime image where that lies beside it."""
        beside = [] if made.runtime is None or self.wanted.is_base(made.runtime) else [made.runtime]
        return all(self.repository.digest(one) is not None for one in (made.digest, *beside))

    def require_signed(self, digest: str) -> None:
        """Raise SignatureError where a signature is asked for that the image does not have."""
        if self.trust.required:
            self.signed_report(digest)

    def signed_report(self, digest: str) -> dict[str, Any]:
        """Return the report that a key which counts vouches for; raises SignatureError."""
        return self.repository.signed_report(digest, self.trust.public_keys(), self.wanted.inputs_hash)
