"""Where a stack runs: facts of the embedded platform or of a cluster of one's own, in one shape."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from components import images
from components.registry import Registry, RegistryArgs
from components.rollouts import DEFINITIONS
from settings import AwsSettings, ExposureSettings, RegistrySettings, Settings, SettingsError

if TYPE_CHECKING:
    from components.aws.ground import Ground
    from components.gpu_node_pools import GpuNodePools

VERSION = 1


@dataclass(frozen=True)
class Place:
    """Addresses and images of one place; `base` and `images` (name → reference) are by digest or by tag."""

    kubeconfig: pulumi.Input[str]
    """Path, or what is in it."""
    context: str | None
    registry: RegistryArgs
    base: str
    images: Mapping[str, str]
    exposure: ExposureSettings
    definitions: str
    """File or URL of the kinds of the controller of rollouts."""
    ready: Sequence[pulumi.Resource] = ()
    """What pods need before they can run, where the stack makes that itself."""
    ground: Ground | None = None
    """What the stack stands on in AWS, where it makes that itself."""


def find(settings: Settings, environ: Mapping[str, str] = os.environ) -> Place:
    """Return where the stack runs: the embedded platform, unless it names AWS, where it makes what it needs, or a
    kubeconfig. Raises SettingsError.
    """
    if settings.aws is not None:
        return _in_aws(settings, settings.aws)
    kubeconfig = settings.cluster.kubeconfig
    if kubeconfig is None:
        return _embedded(settings, connection_file(environ))
    if settings.registry is None or settings.base is None:
        raise SettingsError("modelstack:registry: is missing beside a kubeconfig; set it and modelstack:base")
    path = Path(kubeconfig).expanduser()
    if not path.is_file():
        raise SettingsError(f"modelstack:cluster.kubeconfig: {kubeconfig!r} is no file; {_remedy(settings)}")
    return Place(
        kubeconfig=str(path),
        context=settings.cluster.context,
        registry=_registry(settings.registry),
        base=settings.base,
        images=images.references(settings),
        exposure=settings.exposure or ExposureSettings(),
        definitions=settings.rollouts.definitions or DEFINITIONS,
    )


def _remedy(settings: Settings) -> str:
    if settings.hosts is not None:
        return "the playbook of `python -m ops hosts render` writes it, run that first"
    return "name the cluster's kubeconfig, or remove the key to use the embedded platform"


def _in_aws(settings: Settings, aws: AwsSettings) -> Place:
    # Over a second, which no other stack need spend.
    from components.aws.ground import Ground, GroundArgs  # noqa: PLC0415

    chosen = settings.registry or RegistrySettings(prefix=f"{pulumi.get_project()}-{pulumi.get_stack()}")
    registry = _registry(chosen, chosen.push or aws.registry)
    own = {} if chosen.push else {name: registry.repository(name) for name in settings.models}
    ground = Ground("aws", GroundArgs(settings=aws, repositories=own, prefix=registry.prefix, protect=aws.protect))
    return Place(
        kubeconfig=ground.kubeconfig,
        context=None,
        registry=replace(registry, repositories=ground.repositories),
        base=settings.base or "",
        images=images.references(settings),
        exposure=settings.exposure or ExposureSettings(),
        definitions=settings.rollouts.definitions or DEFINITIONS,
        ready=ground.ready,
        ground=ground,
    )


def gpu_pools(
    settings: Settings, here: Place, registry: Registry, namespace: str, opts: pulumi.ResourceOptions
) -> GpuNodePools | None:
    """Make the pools of nodes with GPUs that the settings name; None where they name none."""
    if not settings.gpu_pools or here.ground is None or settings.aws is None:
        return None
    from components.gpu_node_pools import GpuNodePools, GpuNodePoolsArgs  # noqa: PLC0415 (as that of Ground)

    of_pools = {name: registry.by_digest(name, one) for name, one in here.images.items() if name in images.OF_POOLS}
    args = GpuNodePoolsArgs(
        pools=settings.gpu_pools,
        ground=here.ground.pools,
        region=settings.aws.region,
        system_nodes=settings.aws.system.min,
        images=of_pools,
        namespace=namespace,
        stack=pulumi.get_stack(),
    )
    after = pulumi.ResourceOptions(providers=[here.ground.provider], depends_on=list(here.ready))
    return GpuNodePools("gpu-pools", args, pulumi.ResourceOptions.merge(opts, after))


def _registry(registry: RegistrySettings, push: str | None = None) -> RegistryArgs:
    host = push or registry.push or ""
    return RegistryArgs(
        push=host,
        pull=registry.pull or host,
        docker_config=_docker_folder(registry),
        prefix=registry.prefix,
        signing_key=registry.signing_key,
        public_keys=registry.public_keys,
        copy_from=registry.copy_from,
    )


def _embedded_registry(told: Mapping[str, str]) -> RegistryArgs:
    return RegistryArgs(push=told["push"], pull=told["pull"])


def _docker_folder(registry: RegistrySettings) -> str | None:
    if registry.docker_config is None:
        return None
    folder = Path(registry.docker_config).expanduser()
    if not (folder / "config.json").is_file():
        raise SettingsError(
            f"modelstack:registry.dockerConfig: {registry.docker_config!r} holds no config.json; name the folder that "
            f"`docker --config FOLDER login {registry.push}` wrote"
        )
    return str(folder)


def connection_file(environ: Mapping[str, str]) -> Path:
    """Return where the embedded platform's instance says how to reach it (docs/architecture.md)."""
    data = Path(environ.get("MODELSTACK_DATA") or "/var/lib/modelstack")
    return data / (environ.get("MODELSTACK_INSTANCE") or "default") / "connection.json"


def _embedded(settings: Settings, path: Path) -> Place:
    connection = _read(path)
    return Place(
        kubeconfig=connection["kubeconfig"],
        context=None,
        registry=_registry(settings.registry) if settings.registry else _embedded_registry(connection["registry"]),
        base=settings.base or connection["images"]["base"],
        images=images.references(settings, connection["images"]),
        exposure=settings.exposure or ExposureSettings(type="NodePort", host=connection["node_ports"]["host"]),
        definitions=settings.rollouts.definitions or connection.get("manifests", {}).get("rollouts") or DEFINITIONS,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError(
            f"modelstack:cluster.kubeconfig: is not set and no embedded platform is up ({path} cannot be read); "
            "run `python -m local up`, or name a kubeconfig"
        ) from None
    if found.get("version") != VERSION:
        raise SettingsError(
            f"{path}: version {found.get('version')!r} is not {VERSION}; run `python -m local up` again"
        )
    return found
