"""Monitoring: a Prometheus of the stack that scrapes its servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import network, objectives, rollouts
from components.fingerprint import fingerprint
from components.labels import Labels
from components.pods import container_security, http_probe, pod_security, quantities
from components.runtime import Scraped, Told
from components.service import expose
from components.site import Site
from settings import MonitoringSettings, ObjectiveSettings, Resources

NAME = "prometheus"
PORT = 9090
SCRAPE_SECONDS = 5
RESOURCES = Resources(cpu_request="50m", cpu_limit="500m", memory_request="128Mi", memory_limit="512Mi")


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What runs, and what it looks at."""

    image: pulumi.Input[str]
    """Prometheus, by digest."""
    site: Site
    servers: Mapping[str, Scraped]
    """Model → its headless Service in the namespace, with the metrics' port and path."""
    settings: MonitoringSettings
    others: Mapping[str, Scraped] = field(default_factory=dict)
    """The same of what is no model, as the gateway."""
    objectives: Mapping[str, ObjectiveSettings] = field(default_factory=dict)
    """Model → how well it must be served."""
    protect: bool = False
    """Whether what it stored may not be deleted."""


class Monitoring(pulumi.ComponentResource):
    """Prometheus as a StatefulSet; it finds the servers by DNS, so it needs no leave to read the API."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Monitoring", name, None, opts)
        self._args = args
        self._labels = Labels(NAME, args.site.stack)
        self._exposure = args.site.exposure.unrouted if args.settings.exposed else args.site.exposure.private
        self._own = pulumi.ResourceOptions(parent=self)
        scraped = {**args.servers, **args.others}
        metrics = {name: one.metrics for name, one in scraped.items()}
        self._metrics: pulumi.Output[Mapping[str, Told]] = pulumi.Output.all(**metrics)
        services = {name: one.service for name, one in scraped.items()}
        self._elsewhere = {name: one.namespace for name, one in scraped.items() if one.namespace}
        rules = objectives.rules(args.objectives)
        config = self._metrics.apply(
            lambda found: scrape_config(args.site.stack, services, found, frozenset(args.others), tuple(rules))
        )
        configured = self._create_config({"prometheus.yml": config, **rules})
        self._create_network_policy()
        running = self._create_stateful_set(config.apply(lambda text: "".join((text, *rules.values()))), configured)
        after = pulumi.ResourceOptions(parent=self, depends_on=[running])
        self.url, _ = expose(self._labels, args.site.namespace, {"http": PORT}, self._exposure, after)
        self.register_outputs({"url": self.url})

    def _create_config(self, files: Mapping[str, pulumi.Input[str]]) -> pulumi.Resource:
        return k8s.core.v1.ConfigMap(NAME, metadata=self._metadata(), data=files, opts=self._own)

    def _create_network_policy(self) -> None:
        stack = self._args.site.stack
        # Of the stack itself the controller of rollouts asks.
        asking = [*network.clients(self._exposure), *network.pods(Labels(rollouts.NAME, stack))]
        asked: network.Ingress = {"from_": asking, "ports": network.tcp("http")}
        egress = self._metrics.apply(lambda found: [network.names(), *_scrapes(stack, found, self._elsewhere)])
        network.allow(self._labels, self._args.site, self._own, ingress=[asked], egress=egress)

    def _create_stateful_set(self, read: pulumi.Output[str], configured: pulumi.Resource) -> pulumi.Resource:
        size = self._args.settings.storage
        return k8s.apps.v1.StatefulSet(
            NAME,
            metadata=self._metadata(),
            spec={
                "replicas": 1,
                "service_name": NAME,
                "selector": {"match_labels": self._labels.selector},
                "template": {
                    "metadata": {
                        "labels": self._labels.metadata,
                        "annotations": {"modelstack.dev/config": read.apply(fingerprint)},
                    },
                    "spec": self._pod(),
                },
                "volume_claim_templates": [_claim(size)] if size else None,
            },
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[configured], protect=(self._args.protect and size is not None) or None
            ),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        scratch: k8s.core.v1.VolumeArgsDict = {"name": "data", "empty_dir": {"size_limit": "2Gi"}}
        return {
            "automount_service_account_token": False,
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
        return {"name": NAME, "namespace": self._args.site.namespace, "labels": self._labels.metadata}


def scrape_config(
    stack: str,
    servers: Mapping[str, str],
    metrics: Mapping[str, Told],
    others: frozenset[str] = frozenset(),
    rules: tuple[str, ...] = (),
) -> str:
    """Return prometheus.yml: every pod of every server, found by the SRV records of its headless Service.

    Series of `others` get no label `model`. Files of `rules` lie beside it.
    """
    document = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "external_labels": {"stack": stack}},
        **({"rule_files": list(rules)} if rules else {}),
        "scrape_configs": [
            *(_job(name, servers[name], metrics[name], is_model=name not in others) for name in sorted(servers)),
            {"job_name": NAME, "static_configs": [{"targets": [f"127.0.0.1:{PORT}"]}]},
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _scrapes(stack: str, metrics: Mapping[str, Told], elsewhere: Mapping[str, str]) -> list[network.Egress]:
    """Return a rule a port: the pods whose series are there; `elsewhere` has namespaces that are not the stack's."""
    found: list[network.Egress] = []
    for port in sorted({str(one["port"]) for one in metrics.values()}):
        scraped = [name for name, one in sorted(metrics.items()) if one["port"] == port]
        own = network.pods(*(Labels(name, stack) for name in scraped if name not in elsewhere))
        others = [network.pods_in(elsewhere[name], Labels(name, stack)) for name in scraped if name in elsewhere]
        found.append({"to": [*own, *others], "ports": network.tcp(port)})
    return found


def _job(name: str, service: str, metrics: Told, *, is_model: bool) -> dict[str, object]:
    # The names are relative: a pod's search list completes them, whatever the cluster's domain is.
    found = {"names": [f"_{metrics['port']}._tcp.{service}"], "type": "SRV", "refresh_interval": f"{SCRAPE_SECONDS}s"}
    return {
        "job_name": name,
        # The server's own `model` label says which model a series is of; this one fills in where a series has none.
        "honor_labels": True,
        "metrics_path": metrics["path"],
        "dns_sd_configs": [found],
        **({"relabel_configs": [{"target_label": "model", "replacement": name}]} if is_model else {}),
    }


def _claim(size: str) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    return {
        "metadata": {"name": "data"},
        "spec": {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
