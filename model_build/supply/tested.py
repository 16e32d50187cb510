"""What was tested of an image where it ran: in-toto's test-result v0.1, the predicate of a statement beside the image.

(https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from model_build.supply.claim import INPUTS
from model_build.supply.dsse import SignedStatement, statement
from model_build.supply.part import Part

if TYPE_CHECKING:  # a stack that signs nothing does not wait for the library of keys
    from model_build.supply.keys import PrivateKey, PublicKey
    from model_build.supply.subject import Subject

PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PASSED, FAILED = "PASSED", "FAILED"


class _Configuration(Part):
    name: str
    annotations: dict[str, Any]


class _Predicate(Part):
    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[_Configuration, ...] = Field(min_length=1)
    passed: tuple[str, ...] = Field(default=(), alias="passedTests")
    failed: tuple[str, ...] = Field(default=(), alias="failedTests")


@dataclass(frozen=True)
class Record:
    """One suite of tests (`functional`, `load`) of an image in a stack, and when it ended (UTC, ISO 8601).

    `passed` and `failed` name its tests; `limits` is what they were held to, `figures` what was measured.
    """

    suite: str
    stack: str
    inputs: str
    ended: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    limits: Mapping[str, Any]
    figures: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every test passed, and there was one."""
        return bool(self.passed) and not self.failed

    @classmethod
    def parse(cls, signed: SignedStatement, digest: str) -> Record:
        """Return what a statement says of the image `digest`; raises ValueError where it says nothing of it."""
        found = signed.statement
        claim = next((one for one in signed.claims() if one.digest == digest), None)
        if found.predicate_type != PREDICATE or claim is None:
            raise ValueError(f"is no test result of {digest}")
        told = _Predicate.model_validate(found.predicate)
        about = told.configuration[0]
        texts = {key: str(about.annotations.get(key, "")) for key in ("stack", "ended")}
        failed = told.failed or (() if told.result == PASSED else (told.result,))
        notes = {key: dict(about.annotations.get(key) or {}) for key in ("limits", "figures")}
        return cls(about.name, texts["stack"], claim.inputs or "", texts["ended"], told.passed, failed, **notes)

    def payload(self, name: str, digest: str) -> bytes:
        """Return the statement about the image HOST/REPOSITORY `name` with `digest`."""
        limits = json.dumps(self.limits, sort_keys=True, separators=(",", ":")).encode()
        about = {
            "name": self.suite,
            "digest": {"sha256": hashlib.sha256(limits).hexdigest()},  # of the limits as canonical JSON
            "annotations": {
                "stack": self.stack,
                "ended": self.ended,
                "limits": dict(self.limits),
                "figures": dict(self.figures),
            },
        }
        told = {
            "result": PASSED if self.ok else FAILED,
            "configuration": [about],
            "passedTests": list(self.passed),
            "warnedTests": [],
            "failedTests": list(self.failed),
        }
        return statement(name, digest, {INPUTS: self.inputs}, PREDICATE, told)


def attach_record(subject: Subject, record: Record, key: PrivateKey | None) -> None:
    """Attach `record`, signed by `key`, in place of what the same key said of the same suite and stack before.

    Without a key the envelope's signature is empty, which counts on a loopback registry alone.
    """
    payload = record.payload(subject.name, subject.digest)
    signed = SignedStatement(payload, b"") if key is None else SignedStatement.sign(payload, key)

    def is_earlier(other: SignedStatement) -> bool:
        if not (_is_by(other, [key.public]) if key else other.signature == b""):
            return False
        with suppress(ValueError):
            found = Record.parse(other, subject.digest)
            return (found.suite, found.stack) == (record.suite, record.stack)
        return False

    subject.add_statement(signed, PREDICATE, is_earlier)


def records(subject: Subject, keys: Sequence[PublicKey] | None) -> tuple[Record, ...]:
    """Return the last result of each suite and stack that one of `keys` signed; of None every one counts."""
    last: dict[tuple[str, str], Record] = {}
    for one in _found(subject, keys):
        before = last.get((one.suite, one.stack))
        if before is None or one.ended > before.ended:
            last[one.suite, one.stack] = one
    return tuple(last[key] for key in sorted(last))


def _found(subject: Subject, keys: Sequence[PublicKey] | None) -> Iterator[Record]:
    for signed in subject.statements():
        if keys is None or _is_by(signed, keys):
            with suppress(ValueError):
                yield Record.parse(signed, subject.digest)


def _is_by(signed: SignedStatement, keys: Sequence[PublicKey]) -> bool:
    return any(key.verifies(signed.signature, signed.content) for key in keys)
