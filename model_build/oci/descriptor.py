"""Media types, and descriptors: what a manifest says of each blob."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
# Other algorithms are none that a blob could be held to here.
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Docker's names for the same bytes; an OCI manifest names them the OCI way.
_SAME = {
    "application/vnd.docker.image.rootfs.diff.tar": TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{TAR}+gzip",
    "application/vnd.docker.container.image.v1+json": CONFIG,
}


@dataclass(frozen=True)
class Descriptor:
    """One blob or manifest: type, digest, size in bytes, and further fields as they stand."""

    media_type: str
    digest: str
    size: int
    further: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, body: bytes, media_type: str) -> "Descriptor":
        """Return the descriptor of `body`."""
        return cls(media_type, digest_of(body), len(body))

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Descriptor":
        """Return the descriptor in a parsed manifest; raises KeyError or ValueError where it is none."""
        # It becomes part of a URL.
        if not DIGEST.fullmatch(str(value["digest"])):
            raise ValueError(f"digest {value['digest']!r} is not sha256:<64 hex digits>")
        further = {key: inner for key, inner in value.items() if key not in ("mediaType", "digest", "size")}
        return cls(_SAME.get(value["mediaType"], value["mediaType"]), value["digest"], value["size"], further)

    def json(self) -> dict[str, Any]:
        """Return the fields as a manifest holds them."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **self.further}


def digest_of(body: bytes) -> str:
    """Return `sha256:<hex>` of `body`."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
