"""What a build puts beside its image so that others may trust it, before any tag names it."""

from collections.abc import Mapping
from dataclasses import dataclass

from model_build.errors import SignatureError
from model_build.oci.reference import Reference
from model_build.supply.claim import INPUTS
from model_build.supply.contents import SBOM_TYPE, Contents
from model_build.supply.dsse import SignedStatement, statement
from model_build.supply.keys import PrivateKey
from model_build.supply.provenance import PREDICATE, predicate, provenance
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from model_build.supply.verify import verify


@dataclass(frozen=True)
class Attestations:
    """The bill of materials of one build and, where there is a key, its provenance and signature."""

    contents: Contents
    key: PrivateKey | None

    def bill(self, subject: Subject) -> Mapping[str, bytes]:
        """Return media type → bill of materials."""
        from model_build.supply import sbom  # noqa: PLC0415 (its library lies in the build environment alone)

        image = Reference(subject.registry.host, subject.repository)
        return {SBOM_TYPE: sbom.bill(self.contents, image, subject.digest)}

    def are_sealed(self, subject: Subject) -> bool:
        """Return whether the same key attested this image for the same inputs before."""
        if self.key is None:
            return False
        try:
            verified = verify(subject, [self.key.public], self.contents.inputs.hash)
        except SignatureError:
            return False
        return provenance(verified) is not None

    def seal(self, subject: Subject, attached: Mapping[str, bytes]) -> None:
        """Attach provenance, which names what else is `attached` by its digest, and then the signature."""
        if self.key is None:
            return
        inputs = self.contents.inputs.hash
        told = predicate(self.contents, attached)
        payload = statement(subject.name, subject.digest, {INPUTS: inputs}, PREDICATE, told)
        subject.add_statement(SignedStatement.sign(payload, self.key), PREDICATE)
        sign(subject, self.key, inputs)
