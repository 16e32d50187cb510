"""The requests that bring a blob into a registry, by "Pushing blobs" of the OCI distribution specification 1.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import urllib3

from model_build.errors import RegistryError
from model_build.oci.exchange import Exchange, number, scope_of
from model_build.oci.transport import PassingError, Request

T = TypeVar("T")


class Sent(Protocol):
    """Bytes of a blob; a call begins to read them."""

    @property
    def start(self) -> int:
        """The first of them."""

    @property
    def end(self) -> int:
        """The first after them."""

    @property
    def size(self) -> int:
        """How many there are."""

    def __call__(self) -> Iterator[bytes]:
        """Yield them."""


@dataclass(frozen=True)
class Place:
    """Where a registry takes the next bytes of a blob, how many it has, and the fewest that it takes at a time."""

    url: str
    offset: int = 0
    least: int = 0


@dataclass(frozen=True)
class Uploads:
    """Uploads to one registry; every method raises RegistryError, or PassingError where `again` tries again."""

    _exchange: Exchange

    def again(self, work: Callable[[], T], reached: Callable[[], int]) -> T:
        """Return what `work` returns, tried again within bounds as long as it gets no further."""
        return self._exchange.transport.again(work, reached)

    def mount(self, repository: str, digest: str, source: str) -> Place | None:
        """Take a blob over from the repository `source` of this registry.

        Returns None where that was done, else the place that the registry opened for the bytes instead.
        """
        scope = f"{scope_of(repository, 'POST')} {scope_of(source, 'GET')}"
        path = f"blobs/uploads/?{urlencode({'mount': digest, 'from': source})}"
        try:
            return self._opened(repository, path, scope)
        except RegistryError:
            # Whoever may push here need not be allowed to read there; what else is wrong a new upload tells.
            return self.begin(repository)

    def begin(self, repository: str) -> Place:
        """Open a place for a new blob."""
        place = self._opened(repository, "blobs/uploads/", scope_of(repository, "POST"))
        if place is None:
            raise RegistryError(
                f"registry {self._exchange.host}: {repository} took a blob before it was sent; do not use it"
            )
        return place

    def _opened(self, repository: str, path: str, scope: str) -> Place | None:
        request = Request("POST", f"{self._exchange.transport.root}/v2/{repository}/{path}", scope=scope)
        return self._exchange.transport.again(lambda: self._place(request))

    def _place(self, request: Request) -> Place | None:
        answer = self._exchange.transport.once(request)
        self._exchange.expect(request, answer, 201, 202)
        if answer.status == 201:
            return None
        return Place(self._location(request, answer), least=number(answer.headers.get("OCI-Chunk-Min-Length", "")) or 0)

    def resumed(self, repository: str, place: Place) -> Place | None:
        """Return where an upload that was cut off goes on; None where the registry dropped it."""
        request = self._of_place("GET", repository, place.url)
        answer = self._exchange.transport.once(request)
        if answer.status not in (200, 202, 204):
            return None
        return Place(self._location(request, answer), _next_byte(answer), place.least)

    def append(self, repository: str, place: Place, span: Sent, *, whole: bool) -> Place:
        """Send the next bytes of a blob and return where the ones after them go."""
        headers = {"Content-Type": "application/octet-stream"}
        if span.start or not whole:
            headers["Content-Range"] = f"{span.start}-{span.end - 1}"
        request = self._of_place("PATCH", repository, place.url, headers, span)
        answer = self._exchange.transport.once(request)
        self._require_taken(request, answer)
        self._exchange.expect(request, answer, 202, 204)
        return Place(self._location(request, answer), span.end, place.least)

    def finish(self, repository: str, place: Place, digest: str, span: Sent | None = None) -> None:
        """Close an upload, perhaps with all of its bytes; the registry holds them against the digest."""
        url = f"{place.url}{'&' if '?' in place.url else '?'}{urlencode({'digest': digest})}"
        request = self._of_place("PUT", repository, url, {"Content-Type": "application/octet-stream"}, span)
        answer = self._exchange.transport.once(request)
        self._require_taken(request, answer)
        self._exchange.expect(request, answer, 201)

    def _require_taken(self, request: Request, answer: urllib3.BaseHTTPResponse) -> None:
        """Raise PassingError for what another try may get past: less at a time, or from where the upload is by now.

        A request that was cut off may still be worked on, and ends the upload while the next one asks for it.
        """
        remedy = {404: "see the registry's log", 413: "allow larger bodies", 416: "see the registry's log"}
        if answer.status in remedy:
            what = f"was answered with {answer.status}"
            raise PassingError(self._exchange.fault(request, what, remedy[answer.status]), None)

    def _of_place(
        self, method: str, repository: str, url: str, headers: dict[str, str] | None = None, span: Sent | None = None
    ) -> Request:
        scope = f"repository:{repository}:pull,push"
        return Request(method, url, headers or {}, body=span or b"", size=span.size if span else 0, scope=scope)

    def _location(self, request: Request, answer: urllib3.BaseHTTPResponse) -> str:
        told = answer.headers.get("Location")
        if told is None:
            # An answer that was cut off within its headers looks like one that has few of them.
            fault = self._exchange.fault(request, "was answered without a Location", "see the registry's log")
            raise PassingError(fault, None)
        return self._exchange.transport.followed(request, request.url, told)


def _next_byte(answer: urllib3.BaseHTTPResponse) -> int:
    """Return the byte after those that a Range header (`0-1023`) says are there; `0-0` is an empty upload."""
    last = number(answer.headers.get("Range", "").rpartition("-")[2])
    return last + 1 if last else 0
