"""How an image was built: SLSA provenance v1, the predicate of an in-toto statement (slsa.dev/spec/v1.0/provenance)."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from model_build.supply.contents import Contents
from model_build.supply.dsse import SignedStatement
from model_build.supply.part import Part
from model_build.supply.verify import Verified

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://modelstack.dev/recipe/v1"
BUILDER = "https://modelstack.dev/model_build"
# The hash of a named part of the inputs is over names and contents (docs/supply-chain.md), not over one file's bytes.
PART_DIGEST = "modelstackInputs"


class _Builder(Part):
    id: str


class _Metadata(Part):
    began: str = Field(alias="startedOn")
    ended: str = Field(alias="finishedOn")


class _Byproduct(Part):
    media_type: str = Field(default="", alias="mediaType")
    digest: dict[str, str] = Field(default_factory=dict)


class _Run(Part):
    builder: _Builder
    metadata: _Metadata
    byproducts: tuple[_Byproduct, ...] = ()


class _Predicate(Part):
    run: _Run = Field(alias="runDetails")


@dataclass(frozen=True)
class Provenance:
    """What a verified statement says of a build; `byproducts` is media type → sha256 of what it attached."""

    builder: str
    began: str
    ended: str
    byproducts: Mapping[str, str]

    @classmethod
    def parse(cls, signed: SignedStatement) -> "Provenance":
        """Return what a statement says; raises ValueError where it is malformed."""
        run = _Predicate.model_validate(signed.statement.predicate).run
        made = {one.media_type: one.digest["sha256"] for one in run.byproducts if "sha256" in one.digest}
        return cls(run.builder.id, run.metadata.began, run.metadata.ended, made)

    def names(self, media_type: str, content: bytes) -> bool:
        """Return whether the build attached this content."""
        return self.byproducts.get(media_type) == hashlib.sha256(content).hexdigest()


def provenance(verified: Verified) -> Provenance | None:
    """Return how a verified image was built, in the words of the key that signed it; None where it says nothing."""
    found = statement_of(verified)
    return Provenance.parse(found) if found else None


def statement_of(verified: Verified) -> SignedStatement | None:
    """Return the statement that `provenance` reads."""
    for signed in verified.subject.statements():
        with suppress(ValueError):
            if _is_about(signed, verified):
                Provenance.parse(signed)
                return signed
    return None


def _is_about(signed: SignedStatement, verified: Verified) -> bool:
    if not verified.key.verifies(signed.signature, signed.content) or not signed.is_of(PREDICATE):
        return False
    return any(one.digest == verified.subject.digest and one.inputs == verified.inputs for one in signed.claims())


def predicate(contents: Contents, attached: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the predicate of a build that has ended now and attached these contents by media type."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "recipe": dict(contents.inputs.recipe),
                "platforms": list(contents.recipe.platforms),
                "base": str(contents.base),
            },
            "resolvedDependencies": [*_dependencies(contents)],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"model_build": contents.inputs.parts["model_build"]}},
            "metadata": {
                "invocationId": f"urn:uuid:{uuid.uuid4()}",
                "startedOn": _moment(contents.began),
                "finishedOn": _moment(datetime.now(UTC)),
            },
            "byproducts": [
                {"mediaType": kind, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
                for kind, content in attached.items()
            ],
        },
    }


def _dependencies(contents: Contents) -> Iterator[dict[str, Any]]:
    # The library that spells package URLs lies in the build environment alone.
    from model_build.supply import purl  # noqa: PLC0415

    base = contents.base.digest or ""
    uri = purl.of_image(contents.base, base).to_string()
    yield {"uri": uri, "digest": {"sha256": base.removeprefix("sha256:")}}
    for name, value in contents.inputs.parts.items():
        yield {"name": name, "digest": {PART_DIGEST: value}}
    for source in contents.recipe.sources:
        hashes = purl.hashes_of(source)
        yield {"uri": purl.of_source(source).to_string(), **({"digest": dict(hashes)} if hashes else {})}


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
