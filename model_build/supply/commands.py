"""What `verify` and `sign` of the command line do, and what they tell."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_build.oci.credentials import docker_folder
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.supply.contents import SBOM_TYPE
from model_build.supply.dsse import SignedStatement
from model_build.supply.keys import PublicKey, private_key, public_key
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

    @classmethod
    def of(cls, verified: Verified) -> "Told":
        """Look up what else the key vouches for."""
        found = provenance(verified)
        attached = verified.subject.attached(SBOM_TYPE) if found else ()
        named = (content for content in attached if found and found.names(SBOM_TYPE, content))
        digests = (f"sha256:{hashlib.sha256(content).hexdigest()}" for content in named)
        return cls(verified, found, next(digests, None))

    def values(self) -> dict[str, Any]:
        """Return it for programs."""
        built = self.provenance
        return {
            "image": str(self.verified.subject),
            "key": self.verified.key.fingerprint,
            "inputs": self.verified.inputs,
            "provenance": {"builder": built.builder, "began": built.began, "ended": built.ended} if built else None,
            "sbom": self.bill,
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
        ]


def verified(image: str, trusted: Sequence[str], inputs: str | None) -> Told:
    """Return what one of the keys that `trusted` names says of `image`; raises SignatureError, RegistryError."""
    keys = _public(trusted)
    return Told.of(verify(_subject(image), keys, inputs))


def signed_again(image: str, key: str, trusted: Sequence[str]) -> Told:
    """Sign with `key` what one of the `trusted` keys signed, its provenance too, and return what it says now."""
    keys, signer = _public(trusted), private_key(key)
    subject = _subject(image)
    before = verify(subject, keys)
    after = Verified(subject, signer.public, before.inputs)
    statement = statement_of(before)
    if statement is not None and statement_of(after) is None:
        subject.add_statement(SignedStatement.sign(statement.payload, signer), PREDICATE)
    sign(subject, signer, before.inputs)
    return Told.of(verify(subject, [signer.public], before.inputs))


def _public(references: Sequence[str]) -> list[PublicKey]:
    return [public_key(one) for one in references]


def _subject(image: str) -> Subject:
    reference = Reference.parse(image)
    return Subject.of(Registry.of_docker(reference.host, docker_folder()), reference)
