"""Requests about a repository, and what an answer that was not wanted means."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3

from model_build.errors import RegistryError
from model_build.oci.transport import Request, Transport

# A list without an end must not fill the memory.
MOST_PAGES = 1000
_NEXT = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next\b')


@dataclass(frozen=True)
class Exchange:
    """Asks one registry; every method raises RegistryError."""

    host: str
    transport: Transport

    def ask(
        self,
        method: str,
        repository: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        stream: bool = False,
    ) -> tuple[urllib3.BaseHTTPResponse, Request]:
        """Return the answer to a request without a body, and the request."""
        request = Request(
            method,
            f"{self.transport.root}/v2/{repository}/{path}",
            headers or {},
            stream=stream,
            scope=scope_of(repository, method),
        )
        return self.transport.send(request), request

    def listed(self, repository: str, path: str, key: str) -> list[Any] | None:
        """Return what a list of the repository holds under `key`, on all of its pages; None where it is not there."""
        answer, request = self.ask("GET", repository, path)
        if answer.status == 404:
            return None
        found: list[Any] = []
        for _ in range(MOST_PAGES):
            self.expect(request, answer, 200)
            found += self._page(request, answer, key)
            further = _NEXT.search(answer.headers.get("Link", ""))
            if further is None:
                return found
            request = replace(request, url=self._further(request, further.group(1)))
            answer = self.transport.send(request)
        raise self.fault(request, f"has over {MOST_PAGES} pages", "see the registry's log")

    def _page(self, request: Request, answer: urllib3.BaseHTTPResponse, key: str) -> list[Any]:
        try:
            found = answer.json().get(key) or []
        except (ValueError, AttributeError) as error:
            raise self.fault(request, f"was answered with no list ({error})", "see the registry's log") from error
        if not isinstance(found, list):
            raise self.fault(request, f"was answered with no list of {key}", "see the registry's log")
        return found

    def _further(self, request: Request, target: str) -> str:
        # A registry behind a proxy may not know its own scheme and host; those of the first page are right.
        parts = urlsplit(urljoin(request.url, target))
        if not parts.path.startswith("/"):
            raise self.fault(request, f"goes on at {target!r}, no URL", "see the registry's log")
        return urlsplit(request.url)._replace(path=parts.path, query=parts.query).geturl()

    def expect(self, request: Request, answer: urllib3.BaseHTTPResponse, *statuses: int) -> None:
        """Raise RegistryError, with what the registry said, for an answer of another status."""
        if answer.status in statuses:
            return
        said = answer.data[:300].decode(errors="replace").strip()
        remedy = {
            401: f"run docker login {self.host}",
            403: "ask for the right to do this",
            404: "name a repository that is there",
            405: "allow deleting in the registry's configuration",
        }.get(answer.status, "see the registry's log")
        raise self.fault(request, f"was answered with {answer.status} {said}", remedy)

    def fault(self, request: Request, what: str, remedy: str) -> RegistryError:
        """Return the error that names the registry, the request and the remedy."""
        return self.transport.fault(request, what, remedy)


def number(text: str) -> int | None:
    """Return the number in a header; None where there is none that could be meant."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def scope_of(repository: str, method: str) -> str:
    """Return what a token has to allow for a request."""
    actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(method, "pull,push")
    return f"repository:{repository}:{actions}"
