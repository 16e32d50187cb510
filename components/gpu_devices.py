"""GpuDevices: what offers the GPUs of a cluster's nodes to pods, and what measures them.

Sources: NVIDIA/k8s-device-plugin 0.20 (README, deployments/static), NVIDIA/dcgm-exporter 4.8 (dcgm-exporter.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import monitoring, network, runtime
from components.fingerprint import fingerprint
from components.gpu import POOL, on, tolerations
from components.labels import Labels
from components.pods import http_probe, quantities
from settings import GpuPoolSettings, Resources
from settings.node_pools import GPU, SHARED

PLUGIN, DCGM = "nvidia-device-plugin", "dcgm-exporter"
PORT = 9400
SOCKETS, GPUS_OF_PODS = "/var/lib/kubelet/device-plugins", "/var/lib/kubelet/pod-resources"
# By what is mounted here Bottlerocket gives a container GPUs; the variable it obeys of privileged ones alone. Amazon
# Linux goes by the variable, and takes no notice of what is mounted.
ALL_GPUS = "/var/run/nvidia-container-devices/all"
RESOURCES = {
    PLUGIN: Resources(cpu_request="50m", cpu_limit="200m", memory_request="64Mi", memory_limit="256Mi"),
    DCGM: Resources(cpu_request="100m", cpu_limit="500m", memory_request="256Mi", memory_limit="1Gi"),
}
Args = k8s.core.v1.ContainerArgsDict


@dataclass(frozen=True, kw_only=True)
class GpuDevicesArgs:
    """The pools of a cluster, and what runs on them."""

    pools: Mapping[str, GpuPoolSettings]
    """Name → pool; what AWS looks after itself is left out."""
    images: Mapping[str, pulumi.Input[str]]
    """`nvidia` and `dcgm` by digest."""
    namespace: str
    stack: str
    scraped_from: pulumi.Input[str]
    """The namespace whose Prometheus may ask for series."""


class GpuDevices(pulumi.ComponentResource):
    """DaemonSets of NVIDIA's device plugin, one a pool, and of its exporter; in a namespace of their own.

    They mount folders of the kubelet, which the stack's own namespace does not admit.
    """

    scraped: runtime.Scraped
    """Where Prometheus finds the exporters; `DCGM` is what they are called."""

    def __init__(self, name: str, args: GpuDevicesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:GpuDevices", name, None, opts)
        self._args = args
        self._own = pulumi.ResourceOptions(parent=self)
        self._create_namespace()
        for pool, settings in args.pools.items():
            if settings.os == "al2023":
                self._offer(pool, settings)
        self._measure()
        self._create_service()
        told: runtime.Told = {"port": "metrics", "path": "/metrics"}
        self.scraped = runtime.Scraped(f"{DCGM}.{args.namespace}", pulumi.Output.from_input(told), args.namespace)
        self.register_outputs({})

    def _create_namespace(self) -> None:
        args, labels = self._args, Labels("gpu-devices", self._args.stack)
        mode = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = k8s.core.v1.Namespace(
            args.namespace, metadata={"name": args.namespace, "labels": {**labels.metadata, **mode}}, opts=self._own
        )
        self._own = pulumi.ResourceOptions(parent=self, depends_on=[namespace])
        asking: network.Peer = {
            "namespace_selector": {"match_labels": {network.NAMESPACE: args.scraped_from}},
            "pod_selector": {"match_labels": Labels(monitoring.NAME, args.stack).selector},
        }
        self._policy("default-deny", labels, {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]})
        exporter = Labels(DCGM, args.stack)
        allowed: network.Ingress = {"from_": [asking], "ports": network.tcp("metrics")}
        selector: k8s.meta.v1.LabelSelectorArgsDict = {"match_labels": exporter.selector}
        self._policy(
            DCGM, exporter, {"pod_selector": selector, "policy_types": ["Ingress", "Egress"], "ingress": [allowed]}
        )

    def _policy(self, name: str, labels: Labels, spec: k8s.networking.v1.NetworkPolicySpecArgsDict) -> None:
        k8s.networking.v1.NetworkPolicy(
            f"{self._args.namespace}-{name}", metadata=self._metadata(name, labels), spec=spec, opts=self._own
        )

    def _offer(self, pool: str, settings: GpuPoolSettings) -> None:
        """Run the plugin on the nodes of a pool, which share GPUs as its settings say."""
        name = f"{PLUGIN}-{pool}"
        labels, config = Labels(name, self._args.stack), yaml.safe_dump(plugin_config(settings), sort_keys=False)
        k8s.core.v1.ConfigMap(name, metadata=self._metadata(name, labels), data={"config.yaml": config}, opts=self._own)
        container: Args = {
            "name": PLUGIN,
            "image": self._args.images["nvidia"],
            "env": [{"name": "CONFIG_FILE", "value": "/config/config.yaml"}, *_gpus()],
            "resources": quantities(RESOURCES[PLUGIN]),
            "security_context": _unprivileged(),
            "volume_mounts": [
                {"name": "sockets", "mount_path": SOCKETS},
                {"name": "config", "mount_path": "/config", "read_only": True},
            ],
        }
        volumes: list[k8s.core.v1.VolumeArgsDict] = [
            {"name": "sockets", "host_path": {"path": SOCKETS, "type": "Directory"}},
            {"name": "config", "config_map": {"name": name}},
        ]
        spec = _spec(container, volumes, on(pool)["node_selector"])
        self._create_daemon_set(labels, spec, {"modelstack.dev/config": fingerprint(config)})

    def _measure(self) -> None:
        """Run the exporter on the nodes of all pools."""
        container: Args = {
            "name": DCGM,
            "image": self._args.images["dcgm"],
            "env": [
                {"name": "DCGM_EXPORTER_LISTEN", "value": f":{PORT}"},
                {"name": "DCGM_EXPORTER_KUBERNETES", "value": "true"},
                {"name": "NODE_NAME", "value_from": {"field_ref": {"field_path": "spec.nodeName"}}},
                *self._shared(),
                *_gpus(),
            ],
            "ports": [{"name": "metrics", "container_port": PORT}],
            "resources": quantities(RESOURCES[DCGM]),
            "security_context": _unprivileged(),
            "volume_mounts": [
                {"name": "pods", "mount_path": GPUS_OF_PODS, "read_only": True},
                {"name": "gpus", "mount_path": ALL_GPUS, "read_only": True},
            ],
            # The libraries of DCGM load before it answers.
            "startup_probe": http_probe("/health", period=5, failures=24, port="metrics"),
            "readiness_probe": http_probe("/health", period=10, failures=3, port="metrics"),
            "liveness_probe": http_probe("/health", period=30, failures=3, port="metrics"),
        }
        volumes: list[k8s.core.v1.VolumeArgsDict] = [
            {"name": "pods", "host_path": {"path": GPUS_OF_PODS, "type": "Directory"}},
            {"name": "gpus", "host_path": {"path": "/dev/null", "type": "CharDevice"}},
        ]
        spec = _spec(container, volumes, affinity=_in_pools(list(self._args.pools)))
        scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
        self._create_daemon_set(Labels(DCGM, self._args.stack), spec, scraped)

    def _shared(self) -> list[k8s.core.v1.EnvVarArgsDict]:
        """Return by what the exporter finds all pods of a GPU that is shared, and not none of them."""
        if all(one.resource == GPU for one in self._args.pools.values()):
            return []
        return [
            {"name": "NVIDIA_RESOURCE_NAMES", "value": SHARED},
            {"name": "KUBERNETES_VIRTUAL_GPUS", "value": "true"},
        ]

    def _create_daemon_set(
        self, labels: Labels, spec: k8s.core.v1.PodSpecArgsDict, annotations: Mapping[str, str]
    ) -> None:
        k8s.apps.v1.DaemonSet(
            labels.name,
            metadata=self._metadata(labels.name, labels),
            spec={
                "selector": {"match_labels": labels.selector},
                "template": {"metadata": {"labels": labels.metadata, "annotations": annotations}, "spec": spec},
            },
            opts=self._own,
        )

    def _create_service(self) -> None:
        """Make a name that leads to each exporter."""
        labels = Labels(DCGM, self._args.stack)
        k8s.core.v1.Service(
            DCGM,
            metadata={**self._metadata(DCGM, labels), "annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "cluster_ip": "None",
                "selector": labels.selector,
                "ports": [{"name": "metrics", "port": PORT, "target_port": "metrics"}],
            },
            opts=self._own,
        )

    def _metadata(self, name: str, labels: Labels) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": name, "namespace": self._args.namespace, "labels": labels.metadata}


def plugin_config(pool: GpuPoolSettings) -> dict[str, Any]:
    """Return the plugin's configuration file."""
    config: dict[str, Any] = {"version": "v1", "flags": {"migStrategy": "none", "failOnInitError": True}}
    if pool.share is None:
        return config
    # Under a name of its own a share is never taken for a GPU, and nobody has two of one.
    shared = {
        "renameByDefault": True,
        "failRequestsGreaterThanOne": True,
        "resources": [{"name": GPU, "replicas": pool.share.replicas}],
    }
    return {**config, "sharing": {"timeSlicing": shared}}


def _spec(
    container: Args,
    volumes: list[k8s.core.v1.VolumeArgsDict],
    selector: Mapping[str, str] | None = None,
    affinity: k8s.core.v1.AffinityArgsDict | None = None,
) -> k8s.core.v1.PodSpecArgsDict:
    return {
        "automount_service_account_token": False,
        "enable_service_links": False,
        "priority_class_name": "system-node-critical",
        "security_context": {"seccomp_profile": {"type": "RuntimeDefault"}},
        "node_selector": selector,
        "affinity": affinity,
        "tolerations": tolerations(),
        "containers": [container],
        "volumes": volumes,
    }


def _gpus() -> list[k8s.core.v1.EnvVarArgsDict]:
    return [
        {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
        {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"},
    ]


def _unprivileged() -> k8s.core.v1.SecurityContextArgsDict:
    # The kubelet's sockets are root's. Series of profiling, which ask for SYS_ADMIN, the exporter leaves out then.
    return {"run_as_user": 0, "allow_privilege_escalation": False, "capabilities": {"drop": ["ALL"]}}


def _in_pools(pools: Sequence[str]) -> k8s.core.v1.AffinityArgsDict:
    term: k8s.core.v1.NodeSelectorTermArgsDict = {
        "match_expressions": [{"key": POOL, "operator": "In", "values": list(pools)}]
    }
    return {"node_affinity": {"required_during_scheduling_ignored_during_execution": {"node_selector_terms": [term]}}}
