"""What is common to GitHub and GitLab: where a comment goes, and requests whose token stays with one host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from model_build.oci.auth import is_loopback
from ops.engine import EngineError

TIMEOUT = urllib3.Timeout(connect=10.0, read=30.0)
# What is asked twice must do no more than what is asked once.
AGAIN = urllib3.Retry(
    total=3,
    redirect=0,
    backoff_factor=0.5,
    status_forcelist=(502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)
_LONGEST = 300


class HostError(EngineError):
    """The host of a pull request did not take the comment; the message says why and what to do."""


@dataclass(frozen=True)
class Posted:
    """Where a comment is, and whether it was made, edited or left as it was."""

    url: str
    done: str


@dataclass(frozen=True)
class Answer:
    """What a host answered."""

    status: int
    content: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Api:
    """An HTTP API at `url`, asked with headers that hold a token; they are sent nowhere else, redirects are refused."""

    url: str
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, variable: str, url: str, headers: Mapping[str, str]) -> Api:
        """Return the API; raises HostError for an address that would carry a token in the clear."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
            raise HostError(f"{variable}: {url!r} is not https, and would carry the token in the clear; give https")
        return cls(url.rstrip("/"), headers)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, again: bool = False) -> Answer:
        """Return the answer of one request; raises HostError where there is none, or it leads to another place."""
        pool = urllib3.PoolManager(timeout=TIMEOUT, retries=AGAIN if again else False)
        sent = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, "User-Agent": "modelstack", "Content-Type": "application/json"}
        try:
            answer = pool.request(method, f"{self.url}{path}", body=sent, headers=headers, redirect=False)
        except HTTPError as error:
            kind = type(error).__name__
            raise HostError(f"{self.url}: gave no answer ({kind}); check the address, then post again") from None
        finally:
            pool.clear()
        if 300 <= answer.status < 400:
            raise HostError(f"{self.url}: answered with a redirect, which no token follows; name the API's own address")
        return Answer(answer.status, _parsed(answer.data), answer.headers)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def said(answer: Answer) -> str:
    """Return what a host said of a refusal, in one line."""
    content = answer.content if isinstance(answer.content, dict) else {}
    found = content.get("message") or content.get("error") or content.get("errors") or "no message"
    return " ".join(f"{found if isinstance(found, str) else json.dumps(found)}".split())[:_LONGEST]


def is_same(one: str, other: str) -> bool:
    """Return whether two texts of a comment are the same, for hosts keep other line ends than they were sent."""
    return one.replace("\r\n", "\n").strip() == other.strip()


def required(environment: Mapping[str, str], name: str, what: str) -> str:
    """Return a variable; raises HostError where it is not set."""
    value = environment.get(name, "")
    if not value:
        raise HostError(f"{name}: is not set; set it to {what}")
    return value
