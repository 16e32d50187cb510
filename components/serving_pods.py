"""The pods that serve one version of a model, whatever brings them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
import pulumi_kubernetes as k8s

from components import runtime
from components.gpu import on
from components.labels import APP, OWN, Labels
from components.pods import TOPOLOGIES, ZONE, container_security, pod_security, spread
from components.site import Site
from settings import ModelSettings
from settings.node_pools import GPU

Part = TypeVar("Part")
# Endpoints are told of the end of a pod while it still answers; the server then drains what is left.
PRE_STOP_SECONDS = 5
GRACE_SECONDS = 45


@dataclass(frozen=True, kw_only=True)
class InferenceServiceArgs:
    """What to serve, and where."""

    image: pulumi.Input[str]
    """Reference by digest: of the whole image, or of one of weights alone."""
    runtime_image: pulumi.Input[str]
    """Reference by digest of the image that weights alone are mounted into."""
    runtime: pulumi.Output[runtime.Told]
    """What a ModelImage tells of the server."""
    inputs_hash: pulumi.Output[str]
    """64 hex digits."""
    site: Site
    model: ModelSettings
    inside: bool = False
    """Only pods of the stack itself may connect: a gateway stands before the model."""
    controller: Sequence[pulumi.Resource] = ()
    """What a Rollout has to wait for; empty where the cluster has its controller."""
    own_server: bool
    """Whether the server is this project's own, whose image can compare answers."""
    gpu: str = GPU
    """What a GPU is called on the nodes of the model's pool."""
    cache: Sequence[k8s.core.v1.EnvVarArgsDict] = ()
    """What tells the server of the stack's cache; empty where it uses none."""


@dataclass(frozen=True)
class ServingPods:
    """The pods of one model: `template` for a workload of any kind, and what objects around it have in common."""

    labels: Labels
    args: InferenceServiceArgs

    @property
    def name(self) -> str:
        """The model's name, and that of its main objects."""
        return self.labels.name

    @property
    def version(self) -> pulumi.Output[str]:
        """What the server says it serves: 12 hex digits."""
        return self._hashed(12)

    @property
    def metadata(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        """The metadata of the object named as the model."""
        return {"name": self.name, "namespace": self.args.site.namespace, "labels": self.labels.metadata}

    @property
    def versioned(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        """The metadata of the workload, which tells the version."""
        labels: dict[str, pulumi.Input[str]] = {**self.labels.metadata, f"{APP}/version": self.version}
        return {"name": self.name, "namespace": self.args.site.namespace, "labels": labels}

    @property
    def told_apart(self) -> dict[str, pulumi.Input[str]]:
        """The labels that tell the pods of one version from those of another."""
        return {f"{APP}/version": self.version, f"{OWN}/inputs": self._hashed(16)}

    @property
    def template(self) -> k8s.core.v1.PodTemplateSpecArgsDict:
        """The pods' template."""
        return {"metadata": {"labels": {**self.labels.metadata, **self.told_apart}}, "spec": self.pod}

    @property
    def image(self) -> pulumi.Output[str]:
        """What the container runs; weights alone are mounted into it."""
        args = self.args
        return self.told(lambda told: args.runtime_image if runtime.is_volume(told) else args.image)

    @property
    def volumes(self) -> pulumi.Output[list[k8s.core.v1.VolumeArgsDict]]:
        """The pod's volumes."""
        return self.told(lambda told: runtime.volumes(told, self.args.image))

    @property
    def server(self) -> pulumi.Output[runtime.Told]:
        """What is told of the server, to whoever makes the pods."""
        serve, told = self.args.model.serve, self.args.runtime
        return told.apply(lambda found: runtime.by_kserve(found, serve.nodes)) if serve.by_kserve else told

    @property
    def selector(self) -> dict[str, str]:
        """The labels of the pods that are asked: of several that are one replica, those of the head alone."""
        head = {"app": f"isvc.{self.name}-predictor"} if self.args.model.serve.over_nodes else {}
        return {**self.labels.selector, **head}

    def told(self, part: Callable[[runtime.Told], pulumi.Input[Part]]) -> pulumi.Output[Part]:
        """Return what follows from the server alone, which a preview knows before the image exists."""
        return self.server.apply(part)

    def _hashed(self, digits: int) -> pulumi.Output[str]:
        return self.args.inputs_hash.apply(lambda text: text[:digits])

    @property
    def pod(self) -> k8s.core.v1.PodSpecArgsDict:
        """The spec of a pod."""
        pool = self.args.model.gpu_pool
        placed = on(pool) if pool else None
        return {
            "automount_service_account_token": False,
            "enable_service_links": False,
            "node_selector": placed and placed["node_selector"],
            "tolerations": placed and placed["tolerations"],
            "priority_class_name": self.args.model.priority,
            "security_context": pod_security(),
            "topology_spread_constraints": spread(self.labels, self.args.model.most, self._apart),
            "termination_grace_period_seconds": GRACE_SECONDS,
            "containers": [self.container],
            "volumes": self.volumes,
        }

    @property
    def _apart(self) -> Sequence[str]:
        # Karpenter takes what is only wished for as a condition: each share would wake a node of its own.
        return TOPOLOGIES if self.args.gpu == GPU else (ZONE,)

    @property
    def container(self) -> k8s.core.v1.ContainerArgsDict:
        """The server's container."""
        return {
            "name": "server",
            "image": self.image,
            "command": self.told(runtime.command),
            "env": self.told(lambda told: [*(runtime.env(told) or ()), *self.args.cache] or None),
            "ports": self.told(runtime.container_ports),
            "resources": self.told(lambda told: runtime.resources(told, self.args.model.resources, self.args.gpu)),
            "security_context": container_security(),
            "volume_mounts": self.told(runtime.mounts),
            "startup_probe": self.told(lambda told: runtime.probe(told, "startup")),
            "readiness_probe": self.told(lambda told: runtime.probe(told, "ready")),
            "liveness_probe": self.told(lambda told: runtime.probe(told, "live")),
            "lifecycle": {"pre_stop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        }
