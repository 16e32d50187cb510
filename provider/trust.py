"""Which images count: off loopback, and wherever public keys are named, only those that one of them signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_build.oci.auth import is_loopback
from provider.errors import ProviderError

if TYPE_CHECKING:  # a stack that signs nothing does not wait for the library of keys
    from model_build.supply.keys import PublicKey


@dataclass(frozen=True)
class Trust:
    """The public keys that count for one image, and the key that signs what is built for it."""

    accepted: tuple[str, ...]
    signing: str | None
    project: Path

    @property
    def required(self) -> bool:
        """Whether an image must be signed."""
        return bool(self.accepted)

    def looks_at(self, host: str) -> bool:
        """Return whether a tag in the registry at `host` can count at all.

        Whoever may push could plant the tag. A loopback registry is this machine's own; elsewhere nothing but a
        signature over inputs hash and digest tells whose it is.
        """
        return self.required or is_loopback(host)

    def public_keys(self) -> list[PublicKey]:
        """Return the public keys; raises SignatureError."""
        from model_build.supply.keys import public_key  # noqa: PLC0415

        return [public_key(located(one, self.project)) for one in self.accepted]

    def signing_key(self) -> str | None:
        """Return the key that signs a build, None where none must; raises SignatureError or ProviderError."""
        if not self.required:
            return None
        if self.signing is None:
            raise ProviderError(
                "signingKey: is not set, and publicKeys ask for a signed image of these inputs, which the "
                "registry does not have; build and sign it where the key is, or set signingKey"
            )
        from model_build.supply.keys import fingerprints, private_key  # noqa: PLC0415

        reference = located(self.signing, self.project)
        own, keys = private_key(reference).public, self.public_keys()
        if own not in keys:
            raise ProviderError(
                f"signingKey: {self.signing!r} is {own.fingerprint}, publicKeys are {fingerprints(keys)}; add its "
                "public half to publicKeys, or sign with the key of one of them"
            )
        return reference


def located(reference: str, project: Path) -> str:
    """Return the reference of a key with its path below the project's folder, unless it is absolute or a variable."""
    if "://" in reference:
        return reference
    return str(project / Path(reference).expanduser())
