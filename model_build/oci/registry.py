"""A registry over its HTTP API: manifests, tags and blobs, each checked against its digest."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from model_build.errors import RegistryError
from model_build.oci.auth import Credentials
from model_build.oci.credentials import credentials_of
from model_build.oci.descriptor import DIGEST, DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor, digest_of
from model_build.oci.exchange import Exchange, number, scope_of
from model_build.oci.hosts import Address, address, places
from model_build.oci.tar import CHUNK
from model_build.oci.transport import LARGEST_ANSWER, PassingError, Request, Transport
from model_build.oci.uploads import Uploads

ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
TAGS_A_PAGE = 1000

Send = Callable[[Request], urllib3.BaseHTTPResponse]


@dataclass(frozen=True)
class Manifest:
    """A manifest as it lies in the registry."""

    descriptor: Descriptor
    body: bytes

    @property
    def digest(self) -> str:
        """Digest of the body."""
        return self.descriptor.digest

    @property
    def parsed(self) -> dict[str, Any]:
        """The manifest's fields; raises RegistryError where it has none."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        raise RegistryError(f"manifest {self.digest}: is no JSON object; remove it, or push it again")


class Registry:
    """The registry at `host`: plain HTTP on loopback, TLS elsewhere; every method raises RegistryError."""

    def __init__(self, host: str, credentials: Credentials | None = None, reached: Address | None = None) -> None:
        self.host = host
        self._exchange = Exchange(host, Transport(host, credentials, reached))
        self.uploads = Uploads(self._exchange)

    @classmethod
    def of_docker(cls, host: str, folder: Path | None) -> "Registry":
        """Return the registry with the credentials and certificates that docker's configuration folder keeps for it."""
        return cls(host, credentials_of(folder, host), address(host, places(folder)))

    def head(self, repository: str, reference: str) -> Descriptor | None:
        """Return what a tag or digest names, or None where it is not there."""
        answer, request = self._exchange.ask("HEAD", repository, f"manifests/{reference}", {"Accept": ACCEPT})
        if answer.status == 404:
            return None
        self._exchange.expect(request, answer, 200)
        digest, size = answer.headers.get("Docker-Content-Digest"), number(answer.headers.get("Content-Length", ""))
        if digest is None or size is None:
            found = self.get(repository, reference)
            return found.descriptor if found else None
        # Whoever asks for a digest goes on with the answer's: it must not become another image there.
        if not DIGEST.fullmatch(digest) or (DIGEST.fullmatch(reference) and digest != reference):
            raise self._fault(request, f"names {digest!r}", "do not use that registry")
        media_type = answer.headers.get("Content-Type", MANIFEST).partition(";")[0]
        return Descriptor(media_type, digest, size)

    def get(self, repository: str, reference: str) -> Manifest | None:
        """Return a manifest by tag or digest, or None; a body that is not its digest's is refused."""
        answer, request = self._exchange.ask("GET", repository, f"manifests/{reference}", {"Accept": ACCEPT})
        if answer.status == 404:
            return None
        self._exchange.expect(request, answer, 200)
        body = answer.data
        named = reference if reference.startswith("sha256:") else answer.headers.get("Docker-Content-Digest")
        if named and digest_of(body) != named:
            raise self._fault(request, f"gave {len(body)} bytes that are not {named}", "do not use it; push it again")
        media_type = answer.headers.get("Content-Type", MANIFEST).partition(";")[0]
        return Manifest(Descriptor.of(body, media_type), body)

    def put(self, repository: str, reference: str, body: bytes, media_type: str = MANIFEST) -> str:
        """Store a manifest under a tag or its digest and return the digest."""
        digest = digest_of(body)
        try:
            self._stored(digest, *self._put(self._exchange.transport.once, repository, reference, body, media_type))
        except PassingError:
            # It may be there although its answer is not.
            found = self.head(repository, reference)
            if found is None or found.digest != digest:
                self._stored(digest, *self._put(self._exchange.transport.send, repository, reference, body, media_type))
        return digest

    def put_referrer(self, repository: str, body: bytes) -> bool:
        """Store a manifest that has a subject; returns whether the registry lists it as a referrer by itself."""
        digest = digest_of(body)
        answer, request = self._put(self._exchange.transport.send, repository, digest, body, MANIFEST)
        self._stored(digest, answer, request)
        return answer.headers.get("OCI-Subject") is not None

    def _put(
        self, send: Send, repository: str, reference: str, body: bytes, media_type: str
    ) -> tuple[urllib3.BaseHTTPResponse, Request]:
        url = f"{self._exchange.transport.root}/v2/{repository}/manifests/{reference}"
        scope = scope_of(repository, "PUT")
        request = Request("PUT", url, {"Content-Type": media_type}, body=body, size=len(body), scope=scope)
        return send(request), request

    def _stored(self, digest: str, answer: urllib3.BaseHTTPResponse, request: Request) -> None:
        self._exchange.expect(request, answer, 201)
        stored = answer.headers.get("Docker-Content-Digest", digest)
        if stored != digest:
            raise self._fault(request, f"stored {stored} instead of {digest}", "do not use that registry")

    def tags(self, repository: str) -> list[str]:
        """Return every tag, in order; none for a repository that is not there."""
        found = self._exchange.listed(repository, f"tags/list?n={TAGS_A_PAGE}", "tags")
        return sorted(map(str, found or ()))

    def untag(self, repository: str, tag: str) -> bool:
        """Remove one tag alone; returns whether it was there."""
        return self._delete(repository, tag)

    def delete(self, repository: str, digest: str) -> bool:
        """Remove a manifest and every tag of it; returns whether it was there."""
        return self._delete(repository, digest)

    def _delete(self, repository: str, reference: str) -> bool:
        answer, request = self._exchange.ask("DELETE", repository, f"manifests/{reference}")
        if answer.status == 404:
            return False
        self._exchange.expect(request, answer, 202, 200)
        return True

    def unlink(self, repository: str, digest: str) -> bool:
        """Take a blob out of one repository; returns whether the registry did, for not every one does."""
        answer, _ = self._exchange.ask("DELETE", repository, f"blobs/{digest}")
        return answer.status in (200, 202)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return whether the repository holds a blob."""
        answer, request = self._exchange.ask("HEAD", repository, f"blobs/{digest}")
        if answer.status != 404:
            self._exchange.expect(request, answer, 200)
        return answer.status == 200

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob; larger ones than the limit are refused."""
        return self._exchange.transport.again(lambda: self._small(repository, digest))

    def _small(self, repository: str, digest: str) -> bytes:
        parts, size = [], 0
        for chunk in self.stream(repository, digest):
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise RegistryError(
                    f"registry {self.host}: {repository}@{digest} is over {LARGEST_ANSWER} bytes; name a smaller blob"
                )
            parts.append(chunk)
        return b"".join(parts)

    def stream(self, repository: str, digest: str) -> Iterator[bytes]:
        """Yield a blob's bytes; raises at the end where they are not its digest's, PassingError where it is cut off."""
        answer, request = self._exchange.ask("GET", repository, f"blobs/{digest}", stream=True)
        self._exchange.expect(request, answer, 200)
        found = hashlib.sha256()
        try:
            for chunk in answer.stream(CHUNK, decode_content=False):
                found.update(chunk)
                yield chunk
        except HTTPError as error:
            fault = self._fault(request, "was cut off", "check the network and run again")
            raise PassingError(fault, None) from error
        finally:
            answer.release_conn()
        if f"sha256:{found.hexdigest()}" != digest:
            raise self._fault(request, f"gave bytes of sha256:{found.hexdigest()}", "do not use it; push it again")

    def referrers(self, repository: str, digest: str) -> list[Any] | None:
        """Return what refers to `digest`, as a manifest lists it; None where the registry has no referrers API."""
        return self._exchange.listed(repository, f"referrers/{digest}", "manifests")

    def _fault(self, request: Request, what: str, remedy: str) -> RegistryError:
        return self._exchange.fault(request, what, remedy)
