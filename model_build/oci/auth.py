"""Credentials of a registry from docker's configuration, and which host may see them."""

import base64
import ipaddress
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_build.errors import RegistryError

HELPER_SECONDS = 60


@dataclass(frozen=True)
class Credentials:
    """A user and a password; neither shows when printed."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """Value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Challenge:
    """What a 401 answer asks for: `basic`, or `bearer` with a realm."""

    scheme: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> "Challenge":
        """Return the challenge in a WWW-Authenticate header."""
        scheme, _, rest = header.strip().partition(" ")
        return cls(scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest)))


def docker_folder() -> Path:
    """Return the folder that docker keeps its configuration in."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def docker_credentials(folder: Path, host: str) -> Credentials | None:
    """Return what `docker login` kept for `host` in `folder`/config.json; None where there is nothing.

    Raises RegistryError for a file that cannot be read or a credential helper that fails.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RegistryError(f"{path}: cannot be read ({error}); run docker login {host} again") from error
    helper = config.get("credHelpers", {}).get(host) or config.get("credsStore")
    entry = next((config["auths"][name] for name in _names(host) if name in config.get("auths", {})), None)
    if entry and entry.get("auth"):
        return _decoded(entry["auth"], path, host)
    return _ask(helper, host) if helper else None


def is_loopback(host: str) -> bool:
    """Return whether `host` (perhaps with a port) is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of `url`: credentials stay with one origin."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def may_see(realm: str, registry: str) -> bool:
    """Return whether credentials of the registry at URL `registry` may go to the token service `realm`.

    Its own origin may, and a service that the registry names over TLS and that speaks TLS itself.
    """
    return origin(realm) == origin(registry) or (origin(realm)[0] == "https" and origin(registry)[0] == "https")


def _names(host: str) -> tuple[str, ...]:
    hub = ("https://index.docker.io/v1/",) if host == "docker.io" else ()
    return (host, f"https://{host}", f"http://{host}", *hub)


def _decoded(auth: str, path: Path, host: str) -> Credentials:
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        user, colon, password = "", "", ""
    if not colon:
        raise RegistryError(f"{path}: auths.{host}.auth is no base64 of USER:PASSWORD; run docker login {host} again")
    return Credentials(user, password)


def _ask(helper: str, host: str) -> Credentials | None:
    command = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [command, "get"], input=host, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"registry {host}: {command} cannot be run ({error}); install it or log in") from error
    if "not found" in done.stdout:
        return None
    try:
        told: dict[str, Any] = json.loads(done.stdout)
        return Credentials(told["Username"], told["Secret"])
    except (ValueError, KeyError) as error:
        raise RegistryError(f"registry {host}: {command} gave no credentials; log in to {host} again") from error
