"""The server that a ModelImage's output `runtime` tells of, as parts of a pod: ports, probes, volumes, command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.pods import http_probe, quantities
from components.shares import Caps
from settings import Resources
from settings.node_pools import GPU

TMP, SHM, MODEL = "/tmp", "/dev/shm", "models"  # noqa: S108 (volumes of the pod's own)


Told = Mapping[str, Any]
"""Plain values; the engine gives numbers back as floats, and keys in any order."""


@dataclass(frozen=True)
class Scraped:
    """Where Prometheus finds a model's pods: the headless Service, and the metrics' port and path."""

    service: str
    metrics: pulumi.Output[Told]
    namespace: str | None = None
    """Where the pods are, where that is not the stack's own namespace."""


@dataclass(frozen=True)
class Served:
    """Where a gateway finds one version of a model: the headless Service, and what is told of its server."""

    service: str
    runtime: pulumi.Output[Told]
    pods: int
    """The most there are at once, those that come and go included."""
    caps: Caps = ()
    otherwise: str | None = None
    """A Service of one address for the same pods; it knows of a new one before its name does."""
    to_zero: bool = False
    """Whether there may be no pod at all."""


def by_kserve(told: Told, nodes: int) -> Told:
    """Return what a pod that KServe makes is told, one of `nodes` that share the GPUs of a replica."""
    found = told["kserve"]["several" if nodes > 1 else "one"]
    return {**told, **found["instead"], "predictor": found, "gpus": int(told["gpus"]) // nodes}


def is_volume(told: Told) -> bool:
    """Return whether the image holds weights alone, for a pod that runs the runtime image."""
    return bool(told["packaging"] == "volume")


def port(told: Told, name: str = "http") -> int:
    """Return the number of a port."""
    return int(told["ports"][name])


def asked(told: Told) -> dict[str, int]:
    """Return the ports that clients ask by their names; series are nobody's but Prometheus'."""
    return {name: port(told, name) for name in sorted(told["ports"]) if name != "metrics"}


def container_ports(told: Told) -> list[k8s.core.v1.ContainerPortArgsDict]:
    """Return the ports of the container."""
    return [{"name": name, "container_port": port(told, name)} for name in sorted(told["ports"])]


def probe(told: Told, kind: str) -> k8s.core.v1.ProbeArgsDict:
    """Return the probe `startup`, `ready` or `live`."""
    found = told[kind]
    return http_probe(str(found["path"]), period=int(found["period"]), failures=int(found["failures"]))


def resources(told: Told, given: Resources, gpu: str = GPU) -> k8s.core.v1.ResourceRequirementsArgsDict:
    """Return requests and limits, with the GPUs that the server is started for; Kubernetes asks for what is limited.

    `gpu` is the resource that a GPU, or a share of one, is on the nodes that it runs on.
    """
    found = quantities(given)
    gpus = int(told["gpus"])
    return {**found, "limits": {**found["limits"], gpu: str(gpus)}} if gpus else found  # type: ignore[dict-item]


def stages(told: Told) -> int:
    """Return how many groups of GPUs there are, each with some of the layers."""
    return int(told.get("stages", 1))


def command(told: Told) -> list[str] | None:
    """Return what is started; None where the image says so itself."""
    return list(told["command"]) if "command" in told else None


def env(told: Told) -> list[k8s.core.v1.EnvVarArgsDict] | None:
    """Return the environment, sorted; None where the image says so itself."""
    return [{"name": name, "value": value} for name, value in sorted(told.get("env", {}).items())] or None


def mounts_model(told: Told) -> bool:
    """Return whether the pod itself mounts the model's image; KServe does for the pods that it makes."""
    return is_volume(told) and "predictor" not in told


def mounts(told: Told) -> list[k8s.core.v1.VolumeMountArgsDict]:
    """Return where the volumes lie; of a model's image its folder /models alone, as KServe mounts it."""
    found: list[k8s.core.v1.VolumeMountArgsDict] = [{"name": "tmp", "mount_path": TMP}]
    if "sharedMemory" in told:
        found.append({"name": "shm", "mount_path": SHM})
    if mounts_model(told):
        found.append({"name": "model", "mount_path": str(told["root"]), "sub_path": MODEL, "read_only": True})
    return found


def volumes(told: Told, image: pulumi.Input[str]) -> list[k8s.core.v1.VolumeArgsDict]:
    """Return the volumes; a model's image, by digest, never changes once it is there."""
    found: list[k8s.core.v1.VolumeArgsDict] = [{"name": "tmp", "empty_dir": {"size_limit": str(told["scratch"])}}]
    if "sharedMemory" in told:
        found.append({"name": "shm", "empty_dir": {"medium": "Memory", "size_limit": str(told["sharedMemory"])}})
    if mounts_model(told):
        found.append({"name": "model", "image": {"reference": image, "pull_policy": "IfNotPresent"}})
    return found
