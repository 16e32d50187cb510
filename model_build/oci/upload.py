"""One blob on its way into a registry: read once, resumed where it was cut off, in pieces where those are wanted.

The requests are those of the OCI distribution specification 1.1, "Pushing blobs".
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from model_build.errors import RegistryError
from model_build.oci.descriptor import CONFIG, Descriptor
from model_build.oci.tar import CHUNK
from model_build.oci.uploads import Place

if TYPE_CHECKING:
    from model_build.oci.registry import Registry

# Chunks that may wait for the hash while later ones are sent.
HASHED_BESIDE = 4
LARGEST_PIECE = 64 * 1024 * 1024
SMALLEST_PIECE = 1024 * 1024


class Content(Protocol):
    """Bytes that can be read again, from any byte on."""

    @property
    def size(self) -> int:
        """How many there are."""

    def open(self, start: int = 0) -> Iterator[bytes]:
        """Yield them from the byte `start` on."""


@dataclass(frozen=True)
class Bytes:
    """Content that is in memory."""

    body: bytes

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.body)

    def open(self, start: int = 0) -> Iterator[bytes]:
        """Yield them."""
        yield self.body[start:]


def put_blob(registry: Registry, repository: str, body: bytes) -> Descriptor:
    """Bring a small blob into a repository, if it is not there; returns it as a configuration."""
    described = Descriptor.of(body, CONFIG)
    if not registry.has_blob(repository, described.digest):
        Upload(registry, repository, Bytes(body), described.digest).run()
    return described


@dataclass
class _Read:
    """Content that is hashed while it is sent, unless its digest is known: each byte once however often it is sent."""

    content: Content
    beside: ThreadPoolExecutor
    known: str | None = None
    reached: int = 0
    found: hashlib._Hash = field(default_factory=hashlib.sha256)
    waiting: deque[Future[None]] = field(default_factory=deque)

    @property
    def digest(self) -> str | None:
        """The digest: where it was not known, once the last byte was read."""
        if self.known:
            return self.known
        if self.reached != self.content.size:
            return None
        while self.waiting:
            self.waiting.popleft().result()
        return f"sha256:{self.found.hexdigest()}"

    def between(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end`."""
        at = start
        for chunk in self.content.open(start):
            part = chunk if at + len(chunk) <= end else chunk[: end - at]
            if at + len(part) > self.reached:
                self._hash(memoryview(part)[self.reached - at :])
                self.reached = at + len(part)
            yield part
            at += len(part)
            if at == end < self.content.size:
                return

    def _hash(self, part: memoryview) -> None:
        if self.known:
            return
        self.waiting.append(self.beside.submit(self.found.update, part))
        if len(self.waiting) > HASHED_BESIDE:
            self.waiting.popleft().result()


@dataclass(frozen=True)
class Span:
    """Some of the content, from `start` to before `end`; a call begins to read it."""

    read: _Read
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.end - self.start

    def __call__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        return self.read.between(self.start, self.end)


@dataclass
class Upload:
    """One blob's way into one repository; `digest` where it is known, and `place` where one is open, save requests."""

    registry: Registry
    repository: str
    content: Content
    digest: str | None = None
    place: Place | None = None
    piece: int | None = None
    begun: bool = field(default=False, init=False)
    read: _Read = field(init=False)

    def run(self) -> str:
        """Send what the registry has not got and return the digest; raises RegistryError after bounded tries."""
        with ThreadPoolExecutor(1) as beside:
            self.read = _Read(self.content, beside, self.digest)
            return self._run()

    def _run(self) -> str:
        return self.registry.uploads.again(self._try, lambda: self.place.offset // CHUNK if self.place else 0)

    def _try(self) -> str:
        if self.place is not None and self.begun:
            began = self.place.offset
            self.place = self.registry.uploads.resumed(self.repository, self.place)
            if self.place is None and self._arrived():
                return self._known
            if self.place is None or self.place.offset == began:
                self._take_smaller_pieces()
            if self.place is not None and self.place.offset > self.read.reached:
                raise self._claims(self.place.offset)
        self.begun = True
        if self.place is None:
            self.place = self.registry.uploads.begin(self.repository)
        if self.digest and self.place.offset == 0 and self.piece is None:
            self.registry.uploads.finish(self.repository, self.place, self.digest, self._rest(self.content.size))
            return self.digest
        self._append()
        self.registry.uploads.finish(self.repository, self.place, self._known)
        return self._known

    def _append(self) -> None:
        while self.place is not None and self.place.offset < self.content.size:
            end = self.content.size
            if self.piece is not None:
                end = min(end, self.place.offset + max(self.piece, self.place.least))
            self.place = self.registry.uploads.append(
                self.repository, self.place, self._rest(end), whole=self.piece is None
            )

    def _rest(self, end: int) -> Span:
        start = self.place.offset if self.place else 0
        return Span(self.read, start, end)

    def _arrived(self) -> bool:
        """Return whether the blob is there although its upload is not: its last answer got lost."""
        digest = self.read.digest
        return digest is not None and self.registry.has_blob(self.repository, digest)

    def _take_smaller_pieces(self) -> None:
        # What is on the way may take no more at a time, or no longer.
        self.piece = max(SMALLEST_PIECE, (self.piece or 8 * LARGEST_PIECE) // 8)

    @property
    def _known(self) -> str:
        if self.read.digest is None:
            raise self._claims(self.content.size)
        return self.read.digest

    def _claims(self, size: int) -> RegistryError:
        return RegistryError(
            f"registry {self.registry.host}: {self.repository} claims {size} bytes of an upload, {self.read.reached} "
            "were sent; do not use that registry"
        )
