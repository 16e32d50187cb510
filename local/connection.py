"""connection.json: what everything else reads to find a running platform."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.config import private
from local.errors import RefusedError
from local.instance import Instance

VERSION = 1


@dataclass(frozen=True)
class RegistryHosts:
    """Host and port to push to, and the one that nodes pull from."""

    push: str
    pull: str


@dataclass(frozen=True)
class NodePorts:
    """First and last NodePort, and the host that serves them."""

    first: int
    last: int
    host: str


@dataclass(frozen=True)
class Connection:
    """How to reach one embedded platform; `images` are references by digest, `manifests` files of custom kinds."""

    version: int
    instance: str
    kubeconfig: str
    registry: RegistryHosts
    node_ports: NodePorts
    images: dict[str, str]
    manifests: dict[str, str] = field(default_factory=dict)


def describe(instance: Instance, images: dict[str, str]) -> Connection:
    """The connection to an instance with these images."""
    return Connection(
        version=VERSION,
        instance=instance.name,
        kubeconfig=str(instance.kubeconfig),
        registry=RegistryHosts(push=instance.registry, pull=instance.registry),
        node_ports=NodePorts(instance.node_ports.start, instance.node_ports.stop - 1, "127.0.0.1"),
        images=images,
        manifests=manifests(instance),
    )


def manifests(instance: Instance) -> dict[str, str]:
    """The files of custom kinds that `bake` has kept: name → path."""
    return {path.stem: str(path) for path in sorted(instance.manifests.glob("*.yaml"))}


def baked(instance: Instance) -> dict[str, str]:
    """The images that `bake` has pushed, which outlive `down`: name → reference by digest."""
    try:
        found: dict[str, str] = json.loads(instance.baked.read_text())
    except FileNotFoundError:
        return {}
    return found


def write(path: Path, connection: Connection) -> None:
    """Write connection.json, readable by its owner alone."""
    private(path, json.dumps(asdict(connection), indent=2) + "\n")


def read(path: Path) -> Connection:
    """Read connection.json; raises RefusedError where the platform has never been ready."""
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError:
        raise RefusedError(f"{path}: no platform has been started here; run `python -m local up`") from None
    registry, ports = RegistryHosts(**fields.pop("registry")), NodePorts(**fields.pop("node_ports"))
    return Connection(registry=registry, node_ports=ports, **fields)
