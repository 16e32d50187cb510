"""Gateway: HAProxy before all models of a stack, with keys, limits, retries and a certificate."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as k8s

from components import monitoring, network, runtime
from components.fingerprint import fingerprint
from components.haproxy import DRAIN_SECONDS, FOLDER, Listening, Route, Target, render
from components.labels import OWN, Labels
from components.pods import container_security, http_probe, pod_security, quantities, spread
from components.runtime import Scraped, Served, Told
from components.service import expose
from components.site import Site
from settings import GatewaySettings, amount

NAME = "gateway"
LISTENING = Listening()
# Endpoints are told of the end of a pod while it still takes connections; HAProxy then ends what it has.
PRE_STOP_SECONDS = 5
LONGER_SECONDS = 5
GRACE_SECONDS = PRE_STOP_SECONDS + DRAIN_SECONDS + 5


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What runs, before which models, and for whom."""

    image: pulumi.Input[str]
    """HAProxy, by digest."""
    site: Site
    models: Mapping[str, Mapping[str, Served]]
    """Model → version (`stable`, `canary`) → its pods, with the share of requests that they are sent."""
    settings: GatewaySettings
    after: Sequence[pulumi.Resource] = ()
    """What serves the models, and what the pods mount: the gateway waits for no build."""
    before_seconds: int | None = None
    """How long a load balancer before it keeps a connection without a request; none stands there where None."""


class Gateway(pulumi.ComponentResource):
    """One address for every model; it finds their pods by DNS, so it needs no leave to read the API."""

    url: pulumi.Output[str]
    scraped: Scraped
    """The headless Service that names every pod, with the port and path of its metrics."""

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Gateway", name, None, opts)
        self._args = args
        self._labels = Labels(NAME, args.site.stack)
        self._own = pulumi.ResourceOptions(parent=self)
        told = {f"{model}/{version}": one.runtime for model, of in args.models.items() for version, one in of.items()}
        self._told: pulumi.Output[Mapping[str, Told]] = pulumi.Output.all(**told)
        config = pulumi.Output.all(args.site.namespace, self._told).apply(lambda both: self._render(*both))
        made = [self._create_config(config), *self._create_keys()]
        self._create_network_policy()
        self._create_disruption_budget()
        running = self._create_deployment(config, made)
        after = pulumi.ResourceOptions(parent=self, depends_on=[running])
        scheme = "https" if args.settings.tls else "http"
        self.url, _ = expose(
            self._labels, args.site.namespace, {"http": LISTENING.port}, args.site.exposure, after, scheme=scheme
        )
        self.scraped = self._create_headless_service()
        self.register_outputs({"url": self.url})

    def _render(self, namespace: str, told: Mapping[str, Told]) -> str:
        routes = [
            Route(
                model=model,
                protocol=str(told[f"{model}/{next(iter(of))}"]["protocol"]),
                targets={
                    version: self._target(one, namespace, told[f"{model}/{version}"]) for version, one in of.items()
                },
            )
            for model, of in sorted(self._args.models.items())
        ]
        at = replace(LISTENING, threads=threads(self._args.settings.resources.cpu_limit))
        if self._args.before_seconds:
            # A request that comes as the gateway ends its connection is lost: the load balancer ends each one first.
            at = replace(at, idle_seconds=self._args.before_seconds + LONGER_SECONDS)
        return render(routes, self._args.settings, at)

    def _target(self, served: Served, namespace: str, told: Told) -> Target:
        below = f"{namespace}.svc.{self._args.settings.domain}"
        return Target(
            host=f"{served.service}.{below}",
            port=runtime.port(told),
            ready=str(told["ready"]["path"]),
            pods=served.pods,
            caps=served.caps,
            otherwise=f"{served.otherwise}.{below}" if served.otherwise else None,
            to_zero=served.to_zero,
        )

    def _create_config(self, config: pulumi.Output[str]) -> pulumi.Resource:
        jwt = self._args.settings.jwt
        data: dict[str, pulumi.Input[str]] = {"haproxy.cfg": config, **({"key.pem": jwt.public_key} if jwt else {})}
        return k8s.core.v1.ConfigMap(NAME, metadata=self._metadata(), data=data, opts=self._own)

    def _create_keys(self) -> list[pulumi.Resource]:
        if not self._args.settings.keys:
            return []
        data = {name: base64.b64encode(text.encode()).decode() for name, text in key_maps(self._args.settings).items()}
        name = f"{NAME}-keys"
        secret = pulumi.Output.secret(data)
        return [k8s.core.v1.Secret(name, metadata={**self._metadata(), "name": name}, data=secret, opts=self._own)]

    def _create_network_policy(self) -> None:
        stack = self._args.site.stack
        models = network.pods(*(Labels(name, stack) for name in sorted(self._args.models)))
        asked: list[network.Ingress] = [
            {"from_": network.clients(self._args.site.exposure), "ports": network.tcp("http")},
            {"from_": network.pods(Labels(monitoring.NAME, stack)), "ports": network.tcp("metrics")},
        ]
        servers: network.Egress = {"to": models, "ports": network.tcp("http")}
        network.allow(self._labels, self._args.site, self._own, ingress=asked, egress=[network.names(), servers])

    def _create_disruption_budget(self) -> None:
        k8s.policy.v1.PodDisruptionBudget(
            NAME,
            metadata=self._metadata(),
            spec={"max_unavailable": 1, "selector": {"match_labels": self._labels.selector}},
            opts=self._own,
        )

    def _create_deployment(self, config: pulumi.Output[str], made: Sequence[pulumi.Resource]) -> pulumi.Resource:
        settings = self._args.settings
        # All that HAProxy reads when it starts, but for the certificate.
        others = [key_maps(settings), settings.jwt.public_key if settings.jwt else None]
        read = config.apply(lambda text: fingerprint([text, *others]))
        return k8s.apps.v1.Deployment(
            NAME,
            metadata=self._metadata(),
            spec={
                "replicas": self._args.settings.replicas,
                "selector": {"match_labels": self._labels.selector},
                "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}},
                "revision_history_limit": 3,
                "template": {
                    "metadata": {"labels": self._labels.metadata, "annotations": {f"{OWN}/config": read}},
                    "spec": self._pod(),
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*made, *self._args.after]),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        return {
            "automount_service_account_token": False,
            "enable_service_links": False,
            "security_context": pod_security(),
            "termination_grace_period_seconds": GRACE_SECONDS,
            "topology_spread_constraints": spread(self._labels, self._args.settings.replicas),
            "containers": [self._container()],
            "volumes": [{"name": "config", "projected": {"sources": self._files()}}],
        }

    def _container(self) -> k8s.core.v1.ContainerArgsDict:
        return {
            "name": "haproxy",
            "image": self._args.image,
            "command": ["haproxy", "-db", "-f", f"{FOLDER}/haproxy.cfg"],
            "ports": [
                {"name": "http", "container_port": LISTENING.port},
                {"name": "metrics", "container_port": LISTENING.metrics},
            ],
            "resources": quantities(self._args.settings.resources),
            "security_context": container_security(),
            "volume_mounts": [{"name": "config", "mount_path": FOLDER, "read_only": True}],
            # It has started when it knows where to pass a request to; what comes later it answers for itself.
            "startup_probe": http_probe("/ready", period=1, failures=600, port="metrics"),
            "readiness_probe": http_probe("/live", period=5, failures=3, port="metrics"),
            "liveness_probe": http_probe("/live", period=10, failures=3, port="metrics"),
            "lifecycle": {"pre_stop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        }

    def _files(self) -> list[k8s.core.v1.VolumeProjectionArgsDict]:
        settings = self._args.settings
        items: list[k8s.core.v1.KeyToPathArgsDict] = [{"key": "haproxy.cfg", "path": "haproxy.cfg"}]
        if settings.jwt:
            items.append({"key": "key.pem", "path": "jwt/key.pem"})
        found: list[k8s.core.v1.VolumeProjectionArgsDict] = [{"config_map": {"name": NAME, "items": items}}]
        if settings.keys:
            found.append({"secret": {"name": f"{NAME}-keys", "items": _below("keys", *key_maps(settings))}})
        if settings.tls:
            found.append({"secret": {"name": settings.tls.secret, "items": _below("tls", "tls.crt", "tls.key")}})
        return found

    def _create_headless_service(self) -> Scraped:
        name = f"{NAME}-pods"
        k8s.core.v1.Service(
            name,
            metadata={**self._metadata(), "name": name},
            spec={
                "cluster_ip": "None",
                "publish_not_ready_addresses": True,
                "selector": self._labels.selector,
                "ports": [{"name": "metrics", "port": LISTENING.metrics, "target_port": "metrics"}],
            },
            opts=self._own,
        )
        return Scraped(name, pulumi.Output.from_input({"port": "metrics", "path": "/metrics"}))

    def _metadata(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": NAME, "namespace": self._args.site.namespace, "labels": self._labels.metadata}


def key_maps(settings: GatewaySettings) -> dict[str, str]:
    """Return HAProxy's maps: a key's hash → its name, and a name → its own limit."""
    keys = sorted(settings.keys.items())
    return {
        "names.map": "".join(f"{key.sha256} {name}\n" for name, key in keys),
        "limits.map": "".join(f"{name} {key.requests}\n" for name, key in keys if key.requests),
    }


def threads(cpu: str) -> int:
    """Return how many threads a CPU limit is good for."""
    return max(1, math.ceil(amount(cpu)))


def _below(folder: str, *names: str) -> list[k8s.core.v1.KeyToPathArgsDict]:
    return [{"key": name, "path": f"{folder}/{name}"} for name in names]
