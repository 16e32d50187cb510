"""Requests about a repository, and what an answer that was not wanted means."""

from __future__ import annotations

from dataclasses import dataclass

import urllib3

from model_build.errors import RegistryError
from model_build.oci.transport import Request, Transport


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


def scope_of(repository: str, method: str) -> str:
    """Return what a token has to allow for a request."""
    actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(method, "pull,push")
    return f"repository:{repository}:{actions}"
