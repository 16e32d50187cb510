"""How a registry's host is reached: certificates and mirrors, as docker and containerd keep them.

Read are `certs.d/HOST/` in docker's configuration folder, `/etc/docker/certs.d/HOST/` (https://docs.docker.com/engine/
security/certificates/) and `/etc/containerd/certs.d/HOST/hosts.toml` (containerd's docs/hosts.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_build.errors import RegistryError
from model_build.oci.auth import is_loopback

SYSTEM = (Path("/etc/docker/certs.d"), Path("/etc/containerd/certs.d"))
HUB = "docker.io"
_HUB_ADDRESS = "registry-1.docker.io"
_PULLS = {"pull", "resolve"}


@dataclass(frozen=True)
class Address:
    """Where requests go: `root` is a URL without `/v2`; `authorities` (PEM) replace the system's where given.

    `client` is the certificate and key that the host is shown, where it asks for one.
    """

    root: str
    authorities: tuple[Path, ...] = ()
    client: tuple[Path, Path] | None = None

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.root).netloc


def places(folder: Path | None) -> tuple[Path, ...]:
    """Return the folders that may tell of hosts; `folder` is docker's configuration."""
    return (*((folder / "certs.d",) if folder else ()), *SYSTEM)


def address(host: str, folders: tuple[Path, ...]) -> Address:
    """Return the address of `host`: plain HTTP on loopback unless an authority is told for it, TLS elsewhere."""
    found = [folder / host for folder in folders if (folder / host).is_dir()]
    authorities = next((all_of for one in found if (all_of := tuple(sorted(one.glob("*.crt"))))), ())
    client = next((pair for one in found for pair in _pairs(one)), None)
    scheme = "http" if is_loopback(host) and not authorities else "https"
    return Address(f"{scheme}://{_HUB_ADDRESS if host == HUB else host}", authorities, client)


def mirrors(host: str, folders: tuple[Path, ...]) -> tuple[Address, ...]:
    """Return where `host`'s images may be pulled from before it is asked itself; raises RegistryError."""
    path = next((folder / host / "hosts.toml" for folder in folders if (folder / host / "hosts.toml").is_file()), None)
    if path is None:
        return ()
    # Few hosts have mirrors, and every push waits for what is loaded before it.
    import tomllib  # noqa: PLC0415

    try:
        told: dict[str, Any] = tomllib.loads(path.read_text()).get("host", {})
        return tuple(_mirror(path, url, values) for url, values in told.items() if _may_pull(values))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise RegistryError(
            f"{path}: cannot be read ({error}); correct it as containerd's docs/hosts.md says"
        ) from error


def _mirror(path: Path, url: str, values: dict[str, Any]) -> Address:
    parts = urlsplit(url)
    if values.get("skip_verify"):
        raise RegistryError(f"{path}: host {url!r} has skip_verify, which is not done here; name its ca instead")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
        raise RegistryError(f"{path}: host {url!r} is no https:// URL, nor http:// on loopback; write one")
    root = url.rstrip("/")
    if values.get("override_path"):
        root = root.removesuffix("/v2")
    told = values.get("ca", [])
    return Address(root, tuple(path.parent / one for one in ([told] if isinstance(told, str) else told)))


def _may_pull(values: dict[str, Any]) -> bool:
    return set(values.get("capabilities", _PULLS)) >= _PULLS


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    for certificate in sorted(folder.glob("*.cert")):
        if certificate.with_suffix(".key").is_file():
            yield certificate, certificate.with_suffix(".key")
