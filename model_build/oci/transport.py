"""One HTTP exchange with a registry: TLS except on loopback, bounded retries, credentials that stay at home."""

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from model_build.errors import RegistryError
from model_build.oci.auth import Challenge, Credentials, is_loopback, may_see, origin
from model_build.oci.hosts import Address, address
from model_build.oci.pools import Pools

# The one place that says how often and how long a registry is asked.
TRIES = 4
PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
# urllib3 holds each write of a body to the time to connect too, so it must outlast a registry busy with its disk.
TIMEOUT = urllib3.Timeout(connect=30.0, read=120.0)
REDIRECTS = 5
# Layers on their way at the same time, each on a connection of its own.
AT_ONCE = 4
PASSING = frozenset({429, 500, 502, 503, 504})

LARGEST_ANSWER = 8 * 1024 * 1024

T = TypeVar("T")
Body = bytes | Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Request:
    """One request; a streamed `body` is a callable, so that a retry can start it again, and needs its `size`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    size: int = 0
    stream: bool = False
    scope: str = ""


class PassingError(RegistryError):
    """Something that another try may get past; `pause` in seconds where the registry asked for one."""

    def __init__(self, fault: RegistryError, pause: float | None) -> None:
        super().__init__(str(fault))
        self.pause = pause


class Transport:
    """Speaks with one registry; keeps its connections and tokens."""

    def __init__(self, host: str, credentials: Credentials | None, reached: Address | None = None) -> None:
        self.host = host
        reached = reached or address(host, ())
        self.root = reached.root
        self._credentials = credentials
        self._authorization: dict[str, str] = {}
        self._pools = Pools(reached, TIMEOUT, AT_ONCE)

    def send(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Return the answer, tried again within bounds; raises RegistryError where none can be had."""
        return self.again(lambda: self.once(request))

    def again(self, work: Callable[[], T], reached: Callable[[], int] = lambda: 0) -> T:
        """Return what `work` returns, tried again after each PassingError; the last one ends as RegistryError.

        A try that got further than the one before, by `reached`, is counted as the first.
        """
        attempt, before = 0, reached()
        while True:
            try:
                return work()
            except PassingError as fault:
                attempt, before = (1, reached()) if reached() > before else (attempt + 1, before)
                if attempt == TRIES:
                    # Tried often enough: a caller that tries again as well must not multiply the tries.
                    raise RegistryError(str(fault)) from fault
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1) if fault.pause is None else fault.pause)

    def once(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Return the answer of one try; raises PassingError where another try may do better."""
        try:
            answer = self._authorized(request)
        except HTTPError as error:
            what = f"does not answer ({_said(error)})"
            raise PassingError(self.fault(request, what, "start it or correct it"), None) from error
        if answer.status not in PASSING:
            return answer
        said = answer.data[:300].decode(errors="replace").strip()
        what = f"was answered with {answer.status} {said}".rstrip()
        raise PassingError(self.fault(request, what, "see the registry's log"), _wanted_pause(answer))

    def fault(self, request: Request, what: str, remedy: str) -> RegistryError:
        """Return the error that names this registry, the request and the remedy."""
        place = request.url.split("?", 1)[0].removeprefix(self.root)
        return RegistryError(f"registry {self.host}: {request.method} {place} {what}; {remedy}")

    def _authorized(self, request: Request) -> urllib3.BaseHTTPResponse:
        answer, url = self._exchange(request)
        # What a redirect led to is another's word: it must not choose where the credentials go.
        if answer.status != 401 or origin(url) != origin(self.root):
            return answer
        challenge = Challenge.parse(answer.headers.get("WWW-Authenticate", ""))
        self._authorization[request.scope] = self._answer_to(challenge, request)
        return self._exchange(request)[0]

    def _answer_to(self, challenge: Challenge, request: Request) -> str:
        if challenge.scheme == "bearer":
            return self._token(challenge, request)
        if self._credentials is None:
            raise self.fault(request, "asks for credentials, none are known", f"run docker login {self.host}")
        if challenge.scheme != "basic":
            raise self.fault(request, f"asks for {challenge.scheme!r}, known are basic and bearer", "use another one")
        return self._credentials.basic

    def _token(self, challenge: Challenge, request: Request) -> str:
        realm = challenge.parameters.get("realm", "")
        if origin(realm)[0] != "https" and origin(realm) != origin(self.root):
            raise self.fault(request, f"names the token service {realm!r} without TLS", "correct its realm")
        if self._credentials is not None and not may_see(realm, self.root):
            raise self.fault(request, f"sends credentials to {realm!r}, another host", "correct its realm or use TLS")
        scopes = (challenge.parameters.get("scope") or request.scope).split()
        answer = self._ask_for_token(realm, challenge.parameters.get("service", ""), scopes)
        if answer.status != 200:
            raise self.fault(request, f"is refused by {realm} ({answer.status})", f"run docker login {self.host}")
        try:
            told = json.loads(answer.data)
            return f"Bearer {told.get('token') or told['access_token']}"
        except (ValueError, KeyError, AttributeError) as error:
            raise self.fault(request, f"got no token from {realm}", "correct its realm") from error

    def _ask_for_token(self, realm: str, service: str, scopes: list[str]) -> urllib3.BaseHTTPResponse:
        """Ask as distribution's token specification says, with an identity token as its OAuth 2 one does."""
        own = self._credentials
        if own is not None and own.is_identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": own.password, "client_id": "modelstack"}
            body = urlencode({**form, "service": service, "scope": " ".join(scopes)})
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._ask("POST", realm, headers=kind, body=body)
        query = urlencode([("service", service), *(("scope", one) for one in scopes)])
        headers = {"Authorization": own.basic} if own else {}
        joined = f"{realm}{'&' if '?' in realm else '?'}{query}"
        return self._ask("GET", joined, headers=headers)

    def _exchange(self, request: Request) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Return the answer after redirects, and the URL that gave it."""
        url = request.url
        for _ in range(REDIRECTS):
            answer = self._once(request, url)
            target = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or target is None:
                return answer, url
            answer.release_conn()
            url = self.followed(request, url, target)
        raise self.fault(request, f"redirects over {REDIRECTS} times", "correct the registry's configuration")

    def followed(self, request: Request, url: str, target: str) -> str:
        """Return where `target` (a Location) leads; raises RegistryError where it would leave TLS."""
        try:
            found = urljoin(url, target)
        except ValueError as error:
            raise self.fault(request, f"leads to {target!r}, no URL ({error})", "see the registry's log") from error
        # A registry elsewhere must not point at this machine's own services.
        plain = self.root.startswith("http:") and origin(found)[0] == "http" and is_loopback(urlsplit(found).netloc)
        if origin(found)[0] != "https" and not plain:
            raise self.fault(
                request, f"leads to {found.split('?', 1)[0]} without TLS", "correct the registry's address"
            )
        return found

    def _once(self, request: Request, url: str) -> urllib3.BaseHTTPResponse:
        headers = dict(request.headers)
        if request.scope in self._authorization and origin(url) == origin(self.root):
            headers["Authorization"] = self._authorization[request.scope]
        body = request.body
        if request.method in ("PUT", "POST", "PATCH"):
            headers["Content-Length"] = str(request.size or (len(body) if isinstance(body, bytes) else 0))
        sent = body if isinstance(body, bytes) else body()
        return self._ask(request.method, url, headers=headers, body=sent, stream=request.stream)

    def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: str | bytes | Iterable[bytes] = b"",
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Return the answer: a streamed one to be read, any other with its whole body, which is held to a limit."""
        answer = self._pools.of(url).request(
            method, url, headers=headers, body=body, redirect=False, preload_content=False
        )
        if stream and answer.status == 200:
            return answer
        # As it was sent: nothing here asks for an encoding, and a small body could become a large one.
        found = answer.read(LARGEST_ANSWER + 1, decode_content=False)
        if len(found) > LARGEST_ANSWER:
            answer.close()
            raise self.fault(Request(method, url), f"was answered with over {LARGEST_ANSWER} bytes", "do not use it")
        return urllib3.HTTPResponse(
            io.BytesIO(found), answer.headers, answer.status, decode_content=False, enforce_content_length=False
        )


def _wanted_pause(answer: urllib3.BaseHTTPResponse) -> float | None:
    told = answer.headers.get("Retry-After", "")
    return min(float(told), LONGEST_PAUSE_SECONDS) if told.isdecimal() else None


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rsplit(": ", 1)[-1]
