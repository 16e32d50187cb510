"""Credentials of a registry, what it asks for, and which host may see them."""

import base64
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# What docker and its helpers write for the user of a password that is an identity token.
TOKEN_USER = "<token>"  # noqa: S105
# A parameter (`name="text"` or `name=token`), or else the word that begins a challenge.
_WORD = r"(?<![\w-])([\w-]++)"
_CHALLENGES = re.compile(rf'{_WORD}(?=\s+[\w-]+\s*=|\s*(?:,|$))|{_WORD}\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


@dataclass(frozen=True)
class Credentials:
    """A user and a password; neither shows when printed."""

    user: str
    password: str

    @property
    def is_identity_token(self) -> bool:
        """Whether the password is a refresh token of OAuth 2 instead, which a token service takes by POST."""
        return self.user == TOKEN_USER

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """Value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Challenge:
    """What a 401 answer asks for: `basic`, or `bearer` with a realm (RFC 9110, 11.6.1)."""

    scheme: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> "Challenge":
        """Return the challenge in a WWW-Authenticate header; of several a bearer one, then a basic one."""
        found: list[Challenge] = []
        for scheme, name, quoted, plain in _CHALLENGES.findall(header):
            if scheme:
                found.append(cls(scheme.lower(), {}))
            elif found:
                found[-1].parameters[name.lower()] = quoted or plain
        order = {"bearer": 0, "basic": 1}
        return min(found, key=lambda one: order.get(one.scheme, 2), default=cls("", {}))


def is_loopback(host: str) -> bool:
    """Return whether `host` (perhaps with a port) is this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of `url`: credentials stay with one origin. What is no URL has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0
    return parts.scheme, (parts.hostname or "").lower(), port


def may_see(realm: str, registry: str) -> bool:
    """Return whether credentials of the registry at URL `registry` may go to the token service `realm`.

    Its own origin may, and a service that the registry names over TLS and that speaks TLS itself.
    """
    return origin(realm) == origin(registry) or (origin(realm)[0] == "https" and origin(registry)[0] == "https")
