"""InferenceService: an image by digest, served by a Deployment behind a Service."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.labels import APP, OWN, Labels
from components.pods import container_security, http_probe, pod_security, quantities
from components.service import expose, sources
from settings import ExposureSettings, ModelSettings

PORT = 8080
# Endpoints are told of the end of a pod while it still answers; the server then drains what is left.
PRE_STOP_SECONDS = 5
GRACE_SECONDS = 45


@dataclass(frozen=True, kw_only=True)
class InferenceServiceArgs:
    """What to serve, and where."""

    image: pulumi.Input[str]
    """Reference by digest."""
    inputs_hash: pulumi.Input[str]
    """64 hex digits."""
    namespace: pulumi.Input[str]
    stack: str
    model: ModelSettings
    exposure: ExposureSettings


class InferenceService(pulumi.ComponentResource):
    """Pods of one model: never fewer than asked during a rollout, restricted, and reachable on one port alone."""

    url: pulumi.Output[str]
    pods: str
    """The headless Service that names every pod, ready or not."""

    def __init__(self, name: str, args: InferenceServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:InferenceService", name, None, opts)
        self._labels = Labels(name, args.stack, model=name)
        self._args = args
        self._create_network_policy()
        deployment = self._create_deployment()
        self._create_disruption_budget()
        # A Service waits for ready pods: behind the Deployment it waits for no build, and fails with nothing to serve.
        after = pulumi.ResourceOptions(parent=self, depends_on=[deployment])
        self.url = expose(self._labels, args.namespace, PORT, args.exposure, after)
        self.pods = self._create_headless_service()
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
            "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "64Mi"}}],
        }

    def _container(self) -> k8s.core.v1.ContainerArgsDict:
        return {
            "name": "server",
            "image": self._args.image,
            "ports": [{"name": "http", "container_port": PORT}],
            "resources": quantities(self._args.model.resources),
            "security_context": container_security(),
            "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 (a volume of the pod's own)
            "startup_probe": http_probe("/v2/health/ready", period=1, failures=120),
            "readiness_probe": http_probe("/v2/health/ready", period=5, failures=2),
            "liveness_probe": http_probe("/v2/health/live", period=10, failures=3),
            "lifecycle": {"pre_stop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        }

    def _create_headless_service(self) -> str:
        name = f"{self._labels.name}-pods"
        k8s.core.v1.Service(
            name,
            metadata={**self._metadata(), "name": name},
            spec={
                "cluster_ip": "None",
                "publish_not_ready_addresses": True,
                "selector": self._labels.selector,
                "ports": [{"name": "http", "port": PORT, "target_port": "http"}],
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        return name

    def _create_disruption_budget(self) -> None:
        k8s.policy.v1.PodDisruptionBudget(
            self._labels.name,
            metadata=self._metadata(),
            spec={"max_unavailable": 1, "selector": {"match_labels": self._labels.selector}},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_network_policy(self) -> None:
        allowed: k8s.networking.v1.NetworkPolicyIngressRuleArgsDict = {
            "from_": sources(self._args.exposure),
            "ports": [{"port": "http", "protocol": "TCP"}],
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
