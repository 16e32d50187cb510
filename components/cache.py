"""Cache: a Redis of the stack, in which the servers of a model share their answers."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import network
from components.labels import Labels
from components.pods import container_security, pod_security, quantities
from components.site import Site
from provider.resources import Password
from settings import CacheSettings, Resources

NAME = "cache"
PORT = 6379
KEY = "password"
# Redis' own tables and its clients' buffers beside the answers.
OVERHEAD_MIB = 64


@dataclass(frozen=True, kw_only=True)
class CacheArgs:
    """What runs, and for whom."""

    image: pulumi.Input[str]
    """Redis, by digest."""
    site: Site
    models: tuple[str, ...]
    """The models whose pods may connect."""
    settings: CacheSettings


class Cache(pulumi.ComponentResource):
    """Redis behind a password, with bounded memory and nothing on disk; what it forgets is computed again."""

    env: list[k8s.core.v1.EnvVarArgsDict]
    """What tells a server of the cache; the kubelet puts the password into the URL."""

    def __init__(self, name: str, args: CacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Cache", name, None, opts)
        self._args = args
        self._labels = Labels(NAME, args.site.stack)
        self._own = pulumi.ResourceOptions(parent=self)
        secret = self._create_secret(Password(f"{name}-password", self._own))
        self._create_network_policy()
        self._create_service(self._create_deployment(secret))
        name_of_secret = secret.metadata.apply(lambda metadata: str(metadata.name))
        self.env = [
            {"name": "REDIS_PASSWORD", "value_from": {"secret_key_ref": {"name": name_of_secret, "key": KEY}}},
            {"name": "MODELSTACK_REDIS_URL", "value": f"redis://:$(REDIS_PASSWORD)@{NAME}:{PORT}/0"},
        ]
        self.register_outputs({})

    def _create_service(self, running: pulumi.Resource) -> None:
        k8s.core.v1.Service(
            NAME,
            metadata=self._metadata(),
            spec={"selector": self._labels.selector, "ports": [{"name": "redis", "port": PORT}]},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[running]),
        )

    def _create_secret(self, password: Password) -> k8s.core.v1.Secret:
        """Keep the password for the servers, and for Redis in its configuration: arguments are there for all to see."""
        memory = self._args.settings.memory
        config = password.value.apply(
            lambda word: (
                f"requirepass {word}\nmaxmemory {memory}mb\nmaxmemory-policy allkeys-lru\n"
                f'save ""\nappendonly no\nport {PORT}\ndir /tmp\n'
            )
        )
        return k8s.core.v1.Secret(
            NAME, metadata=self._metadata(), string_data={KEY: password.value, "redis.conf": config}, opts=self._own
        )

    def _create_network_policy(self) -> None:
        servers = network.pods(*(Labels(name, self._args.site.stack) for name in self._args.models))
        rule: network.Ingress = {"from_": servers, "ports": network.tcp("redis")}
        network.allow(self._labels, self._args.site, self._own, ingress=[rule])

    def _create_deployment(self, secret: k8s.core.v1.Secret) -> pulumi.Resource:
        return k8s.apps.v1.Deployment(
            NAME,
            metadata=self._metadata(),
            spec={
                "replicas": 1,
                # Two at once would be two caches behind one name.
                "strategy": {"type": "Recreate"},
                "selector": {"match_labels": self._labels.selector},
                "template": {"metadata": {"labels": self._labels.metadata}, "spec": self._pod()},
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[secret]),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        listens: k8s.core.v1.ProbeArgsDict = {"tcp_socket": {"port": "redis"}, "period_seconds": 5}
        limit = f"{self._args.settings.memory + OVERHEAD_MIB}Mi"
        resources = Resources(cpu_request="50m", cpu_limit="1", memory_request=limit, memory_limit=limit)
        container: k8s.core.v1.ContainerArgsDict = {
            "name": "redis",
            "image": self._args.image,
            "command": ["redis-server", "/etc/redis/redis.conf"],
            "ports": [{"name": "redis", "container_port": PORT}],
            "resources": quantities(resources),
            "security_context": container_security(),
            "volume_mounts": [
                {"name": "config", "mount_path": "/etc/redis", "read_only": True},
                {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 (a volume of the pod's own)
            ],
            "startup_probe": {**listens, "period_seconds": 1, "failure_threshold": 60},
            "readiness_probe": listens,
            "liveness_probe": {**listens, "failure_threshold": 6},
        }
        return {
            "automount_service_account_token": False,
            "enable_service_links": False,
            "security_context": pod_security(),
            "containers": [container],
            "volumes": [
                {
                    "name": "config",
                    "secret": {"secret_name": NAME, "items": [{"key": "redis.conf", "path": "redis.conf"}]},
                },
                {"name": "tmp", "empty_dir": {"size_limit": "16Mi"}},
            ],
        }

    def _metadata(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": NAME, "namespace": self._args.site.namespace, "labels": self._labels.metadata}


def egress(stack: str) -> list[network.Egress]:
    """Return what a server that asks the cache may reach: names, and the cache."""
    return [network.names(), {"to": network.pods(Labels(NAME, stack)), "ports": network.tcp("redis")}]
