"""Signed in-toto statements in DSSE envelopes, as cosign attests and, in bundles, as cosign 3 signs.

The forms are those of secure-systems-lab/dsse and of sigstore's protobuf-specs (bundle v0.3). securesystemslib's own
envelopes ask for a key id in each signature, which those of cosign lack.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Base64Bytes, Field

from model_build.supply.claim import Claim
from model_build.supply.part import Part

if TYPE_CHECKING:  # reading takes no key, and the library of keys takes a while to load
    from model_build.supply.keys import PrivateKey

ENVELOPE = "application/vnd.dsse.envelope.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
# What `cosign sign` attests since version 3: nothing but that the image is signed.
SIGNED = "https://sigstore.dev/cosign/sign/v1"


class _Signature(Part):
    sig: Base64Bytes


class _Envelope(Part):
    payload: Base64Bytes
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    signatures: tuple[_Signature] = Field(description="each envelope holds one; another key adds another envelope")


class _Bundle(Part):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = Field(alias="mediaType")
    envelope: _Envelope = Field(alias="dsseEnvelope")


class _Subject(Part):
    digest: dict[str, str]
    annotations: dict[str, Any] = Field(default_factory=dict)


class Statement(Part):
    """An in-toto statement: about which images, of which type, and what."""

    type: Literal["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"] = Field(alias="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class SignedStatement:
    """A statement as it was signed, with its signature."""

    payload: bytes
    signature: bytes

    @classmethod
    def of_envelope(cls, body: bytes) -> SignedStatement:
        """Return what an envelope holds; raises ValueError where it is malformed."""
        return cls._of(_Envelope.model_validate_json(body))

    @classmethod
    def of_bundle(cls, body: bytes) -> SignedStatement:
        """Return what a bundle holds; raises ValueError where it is malformed or holds no statement."""
        return cls._of(_Bundle.model_validate_json(body).envelope)

    @classmethod
    def sign(cls, payload: bytes, key: PrivateKey) -> SignedStatement:
        """Return the statement `payload`, signed."""
        return cls(payload, key.sign(_encoded(payload)))

    @classmethod
    def _of(cls, envelope: _Envelope) -> SignedStatement:
        return cls(envelope.payload, envelope.signatures[0].sig)

    @property
    def envelope(self) -> bytes:
        """The envelope as it is kept."""
        signatures = [{"keyid": "", "sig": _base64(self.signature)}]
        told = {"payload": _base64(self.payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
        return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()

    @property
    def content(self) -> bytes:
        """The bytes that are signed."""
        return _encoded(self.payload)

    @property
    def statement(self) -> Statement:
        """The statement; raises ValueError where it is malformed."""
        return Statement.model_validate_json(self.payload)

    @property
    def predicate_type(self) -> str:
        """The type of the statement; empty where it is malformed."""
        try:
            return self.statement.predicate_type
        except ValueError:
            return ""

    def is_of(self, predicate_type: str) -> bool:
        """Return whether the statement is of one type."""
        return self.predicate_type == predicate_type

    def claims(self) -> tuple[Claim, ...]:
        """Return which images the statement is about; raises ValueError where it is malformed."""
        named = ((one, one.digest.get("sha256")) for one in self.statement.subject)
        return tuple(Claim(f"sha256:{digest}", _texts(one.annotations)) for one, digest in named if digest)


def statement(
    name: str, digest: str, annotations: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return the in-toto statement of `predicate` about the image HOST/REPOSITORY `name` with `digest`."""
    subject = {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}, "annotations": dict(annotations)}
    told = {"_type": STATEMENT, "subject": [subject], "predicateType": predicate_type, "predicate": predicate}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _encoded(payload: bytes) -> bytes:
    # DSSE's pre-authentication encoding.
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _texts(annotations: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if isinstance(value, str)}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
