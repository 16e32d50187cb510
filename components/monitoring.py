"""Monitoring: a Prometheus of the stack that scrapes its servers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.labels import Labels
from components.pods import container_security, http_probe, pod_security, quantities
from components.service import expose, sources
from settings import ExposureSettings, MonitoringSettings, Resources

NAME = "prometheus"
PORT = 9090
SCRAPE_SECONDS = 5
RESOURCES = Resources(cpu_request="50m", cpu_limit="500m", memory_request="128Mi", memory_limit="512Mi")
_TARGET = "__meta_kubernetes_pod"


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What runs, and what it looks at."""

    image: pulumi.Input[str]
    """Prometheus, by digest."""
    namespace: pulumi.Input[str]
    stack: str
    settings: MonitoringSettings
    exposure: ExposureSettings


class Monitoring(pulumi.ComponentResource):
    """Prometheus as a StatefulSet, with leave to read the pods of its own namespace and no more."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Monitoring", name, None, opts)
        self._args = args
        self._labels = Labels(NAME, args.stack)
        self._own = pulumi.ResourceOptions(parent=self)
        config = scrape_config(args.stack)
        self._create_config(config)
        account = self._create_account()
        self._create_network_policies()
        exposed = expose(self._labels, args.namespace, PORT, args.exposure, self._own)
        self._create_stateful_set(config, depends_on=[*account])
        self.url = exposed.url
        self.register_outputs({"url": self.url})

    def _create_config(self, config: str) -> None:
        k8s.core.v1.ConfigMap(NAME, metadata=self._metadata(), data={"prometheus.yml": config}, opts=self._own)

    def _create_account(self) -> tuple[pulumi.Resource, ...]:
        account = k8s.core.v1.ServiceAccount(
            NAME, metadata=self._metadata(), automount_service_account_token=False, opts=self._own
        )
        role = k8s.rbac.v1.Role(
            NAME,
            metadata=self._metadata(),
            rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
            opts=self._own,
        )
        binding = k8s.rbac.v1.RoleBinding(
            NAME,
            metadata=self._metadata(),
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": self._args.namespace}],
            opts=self._own,
        )
        return account, role, binding

    def _create_network_policies(self) -> None:
        scraped: k8s.networking.v1.NetworkPolicyIngressRuleArgsDict = {
            "from_": sources(self._args.exposure),
            "ports": [{"port": "http", "protocol": "TCP"}],
        }
        k8s.networking.v1.NetworkPolicy(
            NAME,
            metadata=self._metadata(),
            spec={
                "pod_selector": {"match_labels": self._labels.selector},
                "policy_types": ["Ingress", "Egress"],
                "ingress": [scraped],
                # The API server's address and port are each cluster's own, so egress stays open for this pod alone.
                "egress": [{}],
            },
            opts=self._own,
        )

    def _create_stateful_set(self, config: str, depends_on: list[pulumi.Resource]) -> None:
        size = self._args.settings.storage
        k8s.apps.v1.StatefulSet(
            NAME,
            metadata=self._metadata(),
            spec={
                "replicas": 1,
                "service_name": NAME,
                "selector": {"match_labels": self._labels.selector},
                "template": {
                    "metadata": {
                        "labels": self._labels.metadata,
                        "annotations": {"modelstack.dev/config": hashlib.sha256(config.encode()).hexdigest()[:16]},
                    },
                    "spec": self._pod(),
                },
                "volume_claim_templates": [_claim(size)] if size else None,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=depends_on),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        scratch: k8s.core.v1.VolumeArgsDict = {"name": "data", "empty_dir": {"size_limit": "2Gi"}}
        return {
            "service_account_name": NAME,
            "automount_service_account_token": True,
            "enable_service_links": False,
            "security_context": pod_security(),
            "termination_grace_period_seconds": 30,
            "containers": [self._container()],
            "volumes": [
                {"name": "config", "config_map": {"name": NAME}},
                *([] if self._args.settings.storage else [scratch]),
            ],
        }

    def _container(self) -> k8s.core.v1.ContainerArgsDict:
        return {
            "name": NAME,
            "image": self._args.image,
            "args": [
                "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/prometheus",
                f"--storage.tsdb.retention.time={self._args.settings.retention}",
            ],
            "ports": [{"name": "http", "container_port": PORT}],
            "resources": quantities(RESOURCES),
            "security_context": container_security(),
            "volume_mounts": [
                {"name": "config", "mount_path": "/etc/prometheus", "read_only": True},
                {"name": "data", "mount_path": "/prometheus"},
            ],
            "startup_probe": http_probe("/-/ready", period=1, failures=120),
            "readiness_probe": http_probe("/-/ready", period=5, failures=3),
            "liveness_probe": http_probe("/-/healthy", period=10, failures=3),
        }

    def _metadata(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": NAME, "namespace": self._args.namespace, "labels": self._labels.metadata}


def scrape_config(stack: str) -> str:
    """Return prometheus.yml: every model server of the stack, found by its labels in Prometheus' own namespace."""
    keep = [
        {"source_labels": [f"{_TARGET}_label_modelstack_dev_model"], "regex": ".+", "action": "keep"},
        {"source_labels": [f"{_TARGET}_container_port_name"], "regex": "http", "action": "keep"},
    ]
    named = [
        {"source_labels": [f"{_TARGET}_label_modelstack_dev_model"], "target_label": "model"},
        {"source_labels": [f"{_TARGET}_name"], "target_label": "pod"},
    ]
    servers = {
        "job_name": "models",
        # The server's own `model` label says which model a series is of; the pod's fills in where a series has none.
        "honor_labels": True,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"own_namespace": True}}],
        "relabel_configs": [*keep, *named],
    }
    own = {"job_name": NAME, "static_configs": [{"targets": [f"127.0.0.1:{PORT}"]}]}
    document = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "external_labels": {"stack": stack}},
        "scrape_configs": [servers, own],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _claim(size: str) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    return {
        "metadata": {"name": "data"},
        "spec": {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
