"""Names, folders and ports of one instance."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.errors import RefusedError

DEFAULT_BASE_PORT = 7400
PORTS_AN_INSTANCE = 200
NODE_PORT_OFFSET = 100
NODE_PORT_COUNT = 100
NODE_ADDRESS = "10.88.0.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
NODE_NAME = "node"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


@dataclass(frozen=True)
class Instance:
    """One embedded platform: where its files lie and which ports it has."""

    name: str
    data: Path
    cache: Path
    base_port: int

    @property
    def api_port(self) -> int:
        """Port of the API server, the same inside the instance and on the host's loopback."""
        return self.base_port

    @property
    def registry_port(self) -> int:
        """Port of the registry, the same inside the instance and on the host's loopback."""
        return self.base_port + 1

    @property
    def registry(self) -> str:
        """Host and port of the registry, for pushing and pulling alike."""
        return f"127.0.0.1:{self.registry_port}"

    @property
    def node_ports(self) -> range:
        """Ports that Services of type NodePort may take."""
        first = self.base_port + NODE_PORT_OFFSET
        return range(first, first + NODE_PORT_COUNT)

    @property
    def host_ports(self) -> list[int]:
        """Every port the instance listens on at the host's loopback."""
        return [self.api_port, self.registry_port, *self.node_ports]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.data / "kubeconfig"

    @property
    def connection(self) -> Path:
        """What everything else reads to find the platform."""
        return self.data / "connection.json"

    @property
    def manifests(self) -> Path:
        """Kinds of baked controllers, a file NAME.yaml each."""
        return self.data / "manifests"

    @property
    def baked(self) -> Path:
        """Which images `bake` has pushed."""
        return self.data / "baked.json"

    @property
    def etc(self) -> Path:
        """Rendered configuration, mounted at /etc/modelstack in the node."""
        return self.data / "etc"

    @property
    def pki(self) -> Path:
        """Certificates and keys, mounted at /etc/modelstack/pki in the node."""
        return self.etc / "pki"

    @property
    def logs(self) -> Path:
        """One folder of rotated logs a part."""
        return self.data / "logs"

    @property
    def volumes(self) -> Path:
        """What the parts keep: etcd's data, images, the kubelet's folders."""
        return self.data / "volumes"

    @property
    def record(self) -> Path:
        """Which process is the node's first."""
        return self.data / "run"

    @property
    def cgroup(self) -> str:
        """Cgroup of the pods in every hierarchy, with a leading slash; another for the same name elsewhere."""
        return f"/modelstack-{self.name}-{hashlib.sha256(bytes(self.data)).hexdigest()[:8]}"


def instance_name(name: str | None, environ: Mapping[str, str]) -> str:
    """The instance's name, from the argument, else MODELSTACK_INSTANCE, else `default`; raises RefusedError."""
    chosen = name or environ.get("MODELSTACK_INSTANCE") or "default"
    if not _NAME.fullmatch(chosen):
        raise RefusedError(
            f"instance: {chosen!r} is no instance name; use up to 20 lower-case letters, digits and dashes"
        )
    return chosen


def locate(name: str | None = None, environ: Mapping[str, str] = os.environ) -> Instance:
    """The instance of that name in the folders of the environment; nothing is written. Raises RefusedError."""
    chosen = instance_name(name, environ)
    data = Path(environ.get("MODELSTACK_DATA") or "/var/lib/modelstack").absolute() / chosen
    cache = Path(environ.get("MODELSTACK_CACHE") or "/var/cache/modelstack").absolute()
    return Instance(chosen, data, cache, _base_port(data / "base-port", environ.get("MODELSTACK_BASE_PORT")))


def _base_port(kept: Path, asked: str | None) -> int:
    wanted = _parse_port(asked) if asked else None
    if not kept.is_file():
        return wanted or DEFAULT_BASE_PORT
    port = _parse_port(kept.read_text().strip(), str(kept))
    if wanted and wanted != port:
        raise RefusedError(
            f"MODELSTACK_BASE_PORT: {wanted} is not the instance's base port {port}, kept since its first `up`; "
            "unset the variable, or run `python -m local reset` first"
        )
    return port


def _parse_port(text: str, where: str = "MODELSTACK_BASE_PORT") -> int:
    highest = 65535 - PORTS_AN_INSTANCE
    if not text.isdigit() or not 1024 <= int(text) <= highest:
        raise RefusedError(f"{where}: {text!r} is no base port; use a number from 1024 to {highest}")
    return int(text)
