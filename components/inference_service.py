"""InferenceService: a model's image by digest, served by a Deployment behind a Service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pulumi
import pulumi_kubernetes as k8s

from components import runtime
from components.labels import APP, OWN, Labels
from components.pods import container_security, pod_security
from components.runtime import Scraped, Served
from components.service import expose, sources
from settings import ExposureSettings, ModelSettings

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
    runtime: pulumi.Input[runtime.Told]
    """What a ModelImage tells of the server."""
    inputs_hash: pulumi.Input[str]
    """64 hex digits."""
    namespace: pulumi.Input[str]
    stack: str
    model: ModelSettings
    exposure: ExposureSettings
    inside: bool = False
    """Only pods of the stack itself may connect: a gateway stands before the model."""


class InferenceService(pulumi.ComponentResource):
    """Pods of one model: never fewer than asked during a rollout, restricted, reachable on its ports alone."""

    url: pulumi.Output[str]
    scraped: Scraped
    """The headless Service that names every pod, ready or not, with the port and path of its metrics."""
    served: Served
    """The same for a gateway."""

    def __init__(self, name: str, args: InferenceServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:InferenceService", name, None, opts)
        self._labels = Labels(name, args.stack, model=name)
        self._args = args
        self._runtime = pulumi.Output.from_input(args.runtime)
        self._create_network_policy()
        deployment = self._create_deployment()
        self._create_disruption_budget()
        # A Service waits for ready pods: behind the Deployment it waits for no build, and fails with nothing to serve.
        after = pulumi.ResourceOptions(parent=self, depends_on=[deployment])
        exposure = ExposureSettings() if args.inside else args.exposure
        self.url = expose(self._labels, args.namespace, self._told(runtime.port), exposure, after)
        self.scraped = self._create_headless_service()
        # A rollout has old pods and new ones, and those that end are named until they are gone.
        self.served = Served(self.scraped.service, self._runtime, 2 * args.model.replicas + 2)
        self.register_outputs({"url": self.url})

    def _create_deployment(self) -> k8s.apps.v1.Deployment:
        args, labels = self._args, self._labels
        hashed = pulumi.Output.from_input(args.inputs_hash)
        version = {f"{APP}/version": hashed.apply(lambda text: text[:12])}
        return k8s.apps.v1.Deployment(
            labels.name,
            metadata={
                **self._metadata(version),
                # Kubernetes notes a late rollout on the object; `pulumi up` waits no longer for it than that.
                "annotations": {"pulumi.com/timeoutSeconds": str(args.model.rollout_seconds)},
            },
            spec={
                "replicas": args.model.replicas,
                "selector": {"match_labels": labels.selector},
                "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}},
                "revision_history_limit": 3,
                "progress_deadline_seconds": args.model.rollout_seconds,
                "template": {
                    "metadata": {
                        "labels": {
                            **labels.metadata,
                            **version,
                            f"{OWN}/inputs": hashed.apply(lambda text: text[:16]),
                        }
                    },
                    "spec": self._pod(),
                },
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        return {
            "automount_service_account_token": False,
            "enable_service_links": False,
            "security_context": pod_security(),
            "termination_grace_period_seconds": GRACE_SECONDS,
            "containers": [self._container()],
            "volumes": self._told(lambda told: runtime.volumes(told, self._args.image)),
        }

    def _container(self) -> k8s.core.v1.ContainerArgsDict:
        args = self._args
        return {
            "name": "server",
            "image": self._told(lambda told: args.runtime_image if runtime.is_volume(told) else args.image),
            "command": self._told(runtime.command),
            "env": self._told(runtime.env),
            "ports": self._told(runtime.container_ports),
            "resources": self._told(lambda told: runtime.resources(told, args.model.resources)),
            "security_context": container_security(),
            "volume_mounts": self._told(runtime.mounts),
            "startup_probe": self._told(lambda told: runtime.probe(told, "startup")),
            "readiness_probe": self._told(lambda told: runtime.probe(told, "ready")),
            "liveness_probe": self._told(lambda told: runtime.probe(told, "live")),
            "lifecycle": {"pre_stop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        }

    def _told(self, part: Callable[[runtime.Told], pulumi.Input[Part]]) -> pulumi.Output[Part]:
        """Return what follows from the server alone, which a preview knows before the image exists."""
        return self._runtime.apply(part)

    def _create_headless_service(self) -> Scraped:
        name = f"{self._labels.name}-pods"
        k8s.core.v1.Service(
            name,
            metadata={**self._metadata(), "name": name},
            spec={
                "cluster_ip": "None",
                "publish_not_ready_addresses": True,
                "selector": self._labels.selector,
                "ports": self._told(_each_port),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Scraped(name, self._told(lambda told: told["metrics"]))

    def _create_disruption_budget(self) -> None:
        k8s.policy.v1.PodDisruptionBudget(
            self._labels.name,
            metadata=self._metadata(),
            spec={"max_unavailable": 1, "selector": {"match_labels": self._labels.selector}},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_network_policy(self) -> None:
        allowed: k8s.networking.v1.NetworkPolicyIngressRuleArgsDict = {
            "from_": [{"pod_selector": {}}] if self._args.inside else sources(self._args.exposure),
            "ports": self._told(runtime.allowed_ports),
        }
        k8s.networking.v1.NetworkPolicy(
            self._labels.name,
            metadata=self._metadata(),
            spec={
                "pod_selector": {"match_labels": self._labels.selector},
                "policy_types": ["Ingress", "Egress"],
                "ingress": [allowed],
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _metadata(self, more: dict[str, pulumi.Output[str]] | None = None) -> k8s.meta.v1.ObjectMetaArgsDict:
        labels: dict[str, pulumi.Input[str]] = {**self._labels.metadata, **(more or {})}
        return {"name": self._labels.name, "namespace": self._args.namespace, "labels": labels}


def _each_port(told: runtime.Told) -> list[k8s.core.v1.ServicePortArgsDict]:
    return [{"name": name, "port": runtime.port(told, name), "target_port": name} for name in sorted(told["ports"])]
