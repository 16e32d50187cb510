"""What `verify` and `sign` of the command line do, and what they tell."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_build.oci.credentials import docker_folder
from model_build.oci.readback import read_back
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.supply.contents import SBOM_TYPE
from model_build.supply.dsse import SignedStatement
from model_build.supply.keys import PrivateKey, PublicKey, private_key, public_key
from model_build.supply.provenance import PREDICATE, Provenance, provenance, statement_of
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from model_build.supply.verify import Verified, verify


@dataclass(frozen=True)
class Told:
    """A verified image, in words."""

    verified: Verified
    provenance: Provenance | None
    bill: str | None
    read: int | None = None

    @classmethod
    def of(cls, verified: Verified, read: int | None = None) -> "Told":
        """Look up what else the key vouches for; `read` bytes were held to their digests."""
        found = provenance(verified)
        attached = verified.subject.attached(SBOM_TYPE) if found else ()
        named = (content for content in attached if found and found.names(SBOM_TYPE, content))
        digests = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in named)
        return cls(verified, found, next(digests, None), read)

    def values(self) -> dict[str, Any]:
        """Return it for programs."""
        built = self.provenance
        return {
            "image": str(self.verified.subject),
            "key": self.verified.key.fingerprint,
            "inputs": self.verified.inputs,
            "provenance": {"builder": built.builder, "began": built.began, "ended": built.ended} if built else None,
            "sbom": self.bill,
            "bytes_read": self.read,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        built = self.provenance
        when = f"{built.began} to {built.ended} by {built.builder}" if built else "not said by this key"
        return [
            f"image    {self.verified.subject}",
            f"key      {self.verified.key.fingerprint}",
            f"inputs   {self.verified.inputs or 'not signed'}",
            f"built    {when}",
            f"sbom     {self.bill or 'none that this key vouches for'}",
            *([] if self.read is None else [f"bytes    {self.read / 1e6:.1f} MB, each as its digest says"]),
        ]


def verified(image: str, trusted: Sequence[str], inputs: str | None, *, blobs: bool = False) -> Told:
    """Return what one of the keys that `trusted` names says of `image`; raises SignatureError, RegistryError.

    With `blobs` the registry must still have every byte of it as its digest says.
    """
    found = verify(_subject(image), _public(trusted), inputs)
    subject = found.subject
    return Told.of(found, read_back(subject.registry, subject.repository, subject.digest) if blobs else None)


def signed_again(image: str, key: str, trusted: Sequence[str]) -> Told:
    """Sign with `key` what one of the `trusted` keys signed, its provenance too, and return what it says now."""
    keys, signer = _public(trusted), private_key(key)
    subject = _subject(image)
    before = verify(subject, keys)
    sign_again(subject, signer, before.inputs, keys)
    return Told.of(verify(subject, [signer.public], before.inputs))


def sign_again(subject: Subject, signer: PrivateKey, inputs: str | None, trusted: Sequence[PublicKey]) -> None:
    """Sign an image for its inputs, and the provenance where one of the `trusted` keys signed it for them.

    Without a trusted key the image alone is signed. Raises SignatureError where keys are given and none signed it.
    """
    statement = statement_of(verify(subject, trusted, inputs)) if trusted else None
    if statement is not None and statement_of(Verified(subject, signer.public, inputs)) is None:
        subject.add_statement(SignedStatement.sign(statement.payload, signer), PREDICATE)
    sign(subject, signer, inputs)


def _public(references: Sequence[str]) -> list[PublicKey]:
    return [public_key(one) for one in references]


def _subject(image: str) -> Subject:
    reference = Reference.parse(image)
    return Subject.of(Registry.of_docker(reference.host, docker_folder()), reference)
