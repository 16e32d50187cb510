"""What a signature beside an image says, in whatever form it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# The annotation that binds an image to the inputs it was made from; it is signed with the digest.
INPUTS = "modelstack.dev/inputs"


@dataclass(frozen=True)
class Claim:
    """The image that a signature is about (`sha256:<hex>`), and the annotations signed with it."""

    digest: str
    annotations: Mapping[str, str]

    @property
    def inputs(self) -> str | None:
        """Hash of the inputs that the signer says the image was made from."""
        return self.annotations.get(INPUTS)


class Signed(Protocol):
    """Something signed that was found beside an image."""

    @property
    def signature(self) -> bytes:
        """The signature (DER)."""

    @property
    def content(self) -> bytes:
        """The bytes that it was made over."""

    def claims(self) -> tuple[Claim, ...]:
        """Return what those bytes say; raises ValueError where they are malformed."""
