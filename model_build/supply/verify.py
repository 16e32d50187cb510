"""Whether an image may be trusted: signed by one of the keys that count, for this digest and these inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from model_build.errors import SignatureError
from model_build.supply.claim import INPUTS, Signed
from model_build.supply.dsse import SIGNED
from model_build.supply.keys import PublicKey, fingerprints
from model_build.supply.subject import SIGNATURES, Subject


@dataclass(frozen=True)
class Verified:
    """An image whose signature holds: which key made it, and the inputs hash signed with the digest."""

    subject: Subject
    key: PublicKey
    inputs: str | None


@dataclass(frozen=True)
class _Refusal:
    """Why a signature does not count; of several the highest `rank` was nearest to counting."""

    rank: int
    reason: str


def verify(subject: Subject, keys: Sequence[PublicKey], inputs: str | None = None) -> Verified:
    """Return who signed `subject`, for these `inputs` where given; raises SignatureError where none of `keys` did."""
    if not keys:
        raise SignatureError(f"{subject}: no public key is given, so none can have signed it; name at least one")
    refusals = []
    for one in _signed(subject):
        judged = _judge(one, subject, keys, inputs)
        if isinstance(judged, Verified):
            return judged
        refusals.append(judged)
    if not refusals:
        raise SignatureError(
            f"{subject}: is not signed (nothing under the tag {SIGNATURES.tag(subject.digest)}, no referrer that signs "
            "it); build it with --key"
        )
    raise SignatureError(f"{subject}: {max(refusals, key=lambda one: one.rank).reason}")


def _signed(subject: Subject) -> tuple[Signed, ...]:
    return (*subject.signatures(), *(one for one in subject.statements() if one.is_of(SIGNED)))


def _judge(one: Signed, subject: Subject, keys: Sequence[PublicKey], inputs: str | None) -> Verified | _Refusal:
    key = next((key for key in keys if key.verifies(one.signature, one.content)), None)
    if key is None:
        return _Refusal(0, f"is signed by another key than {fingerprints(keys)}; give the key that signed it")
    try:
        claims = one.claims()
    except ValueError as error:
        return _Refusal(1, f"its signature by {key.fingerprint} is malformed ({error}); sign it again")
    claim = next((claim for claim in claims if claim.digest == subject.digest), None)
    if claim is None:
        named = ", ".join(claim.digest for claim in claims) or "no image"
        return _Refusal(2, f"its signature by {key.fingerprint} is of {named}; do not use it, build it again")
    if inputs is not None and claim.inputs != inputs:
        said = f"inputs {claim.inputs}" if claim.inputs else f"no inputs (annotation {INPUTS})"
        return _Refusal(3, f"is signed by {key.fingerprint} for {said}, asked are {inputs}; build those inputs")
    return Verified(subject, key, claim.inputs)
