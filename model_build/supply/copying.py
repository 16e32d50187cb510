"""Copies a signed image to another repository: the image, what is attached to it, and its signatures last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model_build.oci.copy import Where, copy_image, copy_referrers
from model_build.oci.reference import Reference
from model_build.supply.subject import SIGNATURES, STATEMENTS, Subject


@dataclass(frozen=True)
class Copied:
    """What came with an image that had not been there before."""

    attached: int
    statements: int
    signatures: int


def copy_signed(
    subject: Subject, target: Where, told: Callable[[int, int], None] = lambda _done, _whole: None
) -> Copied:
    """Copy an image with all that vouches for it and return what was new there; raises RegistryError.

    What others attached to the same digest there stays.
    """
    source = Where(subject.registry, subject.repository)
    copy_image(subject.digest, source, target, told)
    shelves = frozenset({SIGNATURES.artifact_type, STATEMENTS.artifact_type})
    attached = copy_referrers(subject.digest, source, target, but=shelves)
    name = Reference(target.registry.host, target.repository, digest=subject.digest)
    there = Subject.of(target.registry, name)
    known = set(there.statements())
    # The latest is attached last, so that it comes first.
    statements = [one for one in reversed(subject.statements()) if one not in known]
    for one in statements:
        there.add_statement(one, one.predicate_type)
    signed = set(there.signatures())
    signatures = [one for one in reversed(subject.signatures()) if one not in signed]
    for each in signatures:
        there.add_signature(each)
    return Copied(attached, len(statements), len(signatures))
