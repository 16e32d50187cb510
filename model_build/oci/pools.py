"""Connections: kept open, over the proxy that the environment names, with the certificates that the host was given."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.util import make_headers

from model_build.errors import RegistryError
from model_build.oci.auth import is_loopback
from model_build.oci.hosts import Address


@dataclass
class Pools:
    """The connections of one registry, to its own host and to those that it points at."""

    address: Address
    timeout: urllib3.Timeout
    at_once: int
    _found: dict[tuple[bool, str], urllib3.PoolManager] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, url: str) -> urllib3.PoolManager:
        """Return the connections for `url`; raises RegistryError where its certificates cannot be read."""
        own = urlsplit(url).netloc == self.address.host
        key = (own, _proxy(url))
        with self._lock:
            if key not in self._found:
                self._found[key] = self._made(*key)
            return self._found[key]

    def _made(self, own: bool, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"timeout": self.timeout, "retries": False, "maxsize": self.at_once}
        if own and self.address.authorities:
            options["ca_cert_data"] = "\n".join(self._read("authorities", one) for one in self.address.authorities)
        if own and self.address.client:
            certificate, key = self.address.client
            self._read("key", key)
            options |= {"cert_file": str(certificate), "key_file": str(key)}
        if not proxy:
            return urllib3.PoolManager(**options)
        parts = urlsplit(proxy)
        named = f"{parts.username}:{parts.password or ''}" if parts.username else None
        return urllib3.ProxyManager(proxy, proxy_headers=make_headers(proxy_basic_auth=named), **options)

    def _read(self, what: str, path: Path) -> str:
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(
                f"registry {self.address.host}: its {what} {path} cannot be read ({error}); correct the file"
            ) from error


def _proxy(url: str) -> str:
    """Return the proxy that the environment names for `url`: HTTP_PROXY, HTTPS_PROXY, but for NO_PROXY."""
    parts = urlsplit(url)
    if is_loopback(parts.netloc):
        return ""
    # A push to this machine does not wait for it to be loaded.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    if proxy_bypass(parts.hostname or ""):
        return ""
    return getproxies().get(parts.scheme, "")
