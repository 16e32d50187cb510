"""cosign's signatures of images: a JSON payload that names a digest, signed as it stands.

Fields as in containers-signature(5), with cosign's `critical.type` and media type (cosign, SIGNATURE_SPEC.md).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from model_build.supply.claim import Claim
from model_build.supply.part import Part

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
TYPE = "cosign container image signature"


class _Image(Part):
    digest: str = Field(alias="docker-manifest-digest", pattern=r"^sha256:[0-9a-f]{64}$")


class _Critical(Part):
    type: Literal["cosign container image signature"]
    image: _Image


class _Payload(Part):
    critical: _Critical
    optional: dict[str, Any] | None = None


@dataclass(frozen=True)
class SimpleSigned:
    """A payload with its signature."""

    content: bytes
    signature: bytes

    def claims(self) -> tuple[Claim, ...]:
        """Return what the payload says; raises ValueError where it is malformed."""
        told = _Payload.model_validate_json(self.content)
        texts = {key: value for key, value in (told.optional or {}).items() if isinstance(value, str)}
        return (Claim(told.critical.image.digest, texts),)


def payload(name: str, digest: str, annotations: Mapping[str, str]) -> bytes:
    """Return what is signed for the image HOST/REPOSITORY `name` with `digest`."""
    told = {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": TYPE,
        },
        "optional": dict(annotations) or None,
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
