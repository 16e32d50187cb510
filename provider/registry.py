"""One repository of a registry: tags, digests, and the report that a build attached to its image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3


class RegistryProblem(Exception):  # noqa: N818
    """The registry did not answer or refused; the message names it and the remedy."""


ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)


@dataclass(frozen=True)
class Repository:
    """The repository `name` at `host`."""

    host: str
    name: str
    docker_config: str | None
    project: Path

    def digest(self, reference: str) -> str | None:
        """Return the digest a tag or digest names; None where it is not there."""
        answer = self._send("HEAD", f"manifests/{reference}")
        return None if answer.status == 404 else answer.headers["Docker-Content-Digest"]

    def tags(self) -> list[str]:
        """Return every tag."""
        answer = self._send("GET", "tags/list")
        return [] if answer.status == 404 else (json.loads(answer.data).get("tags") or [])

    def tag(self, digest: str, tag: str) -> None:
        """Point `tag` at `digest`."""
        got = self._send("GET", f"manifests/{digest}")
        self._send("PUT", f"manifests/{tag}", got.data, {"Content-Type": got.headers["Content-Type"]})

    def untag(self, tag: str) -> None:
        """Remove a tag alone."""
        self._send("DELETE", f"manifests/{tag}")

    def delete(self, digest: str) -> None:
        """Remove a manifest with every tag of it."""
        self._send("DELETE", f"manifests/{digest}")

    def report(self, digest: str) -> dict[str, Any] | None:
        """Return the report attached to an image."""
        return None

    def _send(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> Any:
        try:
            answer = urllib3.request(
                method,
                f"http://{self.host}/v2/{self.name}/{path}",
                body=body,
                headers={"Accept": ACCEPT, **(headers or {})},
                timeout=5,
                retries=1,
            )
        except urllib3.exceptions.HTTPError as error:
            raise RegistryProblem(
                f"registry {self.host}: does not answer ({error}); start it or correct the host"
            ) from error
        if answer.status >= 400 and answer.status != 404:
            raise RegistryProblem(f"registry {self.host}: {answer.status} {answer.data[:200]!r}")
        return answer
