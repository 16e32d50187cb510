"""RolloutsController: Argo Rollouts for one namespace, with the kinds that it adds to the cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import network
from components.labels import Labels
from components.pods import container_security, http_probe, pod_security, quantities
from components.site import Site
from provider.cluster_resources import Definitions, DefinitionsArgs
from settings import Resources

NAME = "argo-rollouts"
# install.yaml as the release's tag has it; `Definitions` takes nothing but its kinds.
DEFINITIONS = "https://raw.githubusercontent.com/argoproj/argo-rollouts/v1.10.2/manifests/install.yaml"
DEFINITIONS_SHA256 = "be25242c55bab7650e0b845da11dbce811f7427deae367e224435e0d766ebe5a"  # pragma: allowlist secret
RESOURCES = Resources(cpu_request="50m", cpu_limit="500m", memory_request="64Mi", memory_limit="512Mi")


@dataclass(frozen=True, kw_only=True)
class RolloutsControllerArgs:
    """What runs, and what it may touch."""

    image: pulumi.Input[str]
    """Argo Rollouts, by digest."""
    definitions: str
    """File or https URL of its install.yaml."""
    site: Site


class RolloutsController(pulumi.ComponentResource):
    """The controller of a stack's own Rollouts: it sees no other namespace, and no Secret but its own."""

    ready: pulumi.Resource
    """What a Rollout has to wait for."""

    def __init__(self, name: str, args: RolloutsControllerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:RolloutsController", name, None, opts)
        self._args = args
        self._labels = Labels(NAME, args.site.stack)
        self._own = pulumi.ResourceOptions(parent=self)
        kinds = self._create_definitions()
        self._create_network_policy()
        leave = self._create_role()
        self.ready = self._create_deployment([kinds, *leave])
        self.register_outputs({"kinds": kinds.names})

    def _create_definitions(self) -> Definitions:
        args = DefinitionsArgs(access=self._args.site.access, source=self._args.definitions, sha256=DEFINITIONS_SHA256)
        return Definitions(NAME, args, self._own)

    def _create_role(self) -> list[pulumi.Resource]:
        account = k8s.core.v1.ServiceAccount(
            NAME, metadata=self._metadata(), automount_service_account_token=False, opts=self._own
        )
        role = k8s.rbac.v1.Role(NAME, metadata=self._metadata(), rules=_rules(), opts=self._own)
        binding = k8s.rbac.v1.RoleBinding(
            NAME,
            metadata=self._metadata(),
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": self._args.site.namespace}],
            opts=self._own,
        )
        return [account, role, binding]

    def _create_deployment(self, after: list[pulumi.Resource]) -> k8s.apps.v1.Deployment:
        return k8s.apps.v1.Deployment(
            NAME,
            metadata=self._metadata(),
            spec={
                "replicas": 1,
                "selector": {"match_labels": self._labels.selector},
                # Two would wait for one lease.
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": self._labels.metadata}, "spec": self._pod()},
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        return {
            "service_account_name": NAME,
            "automount_service_account_token": True,
            "enable_service_links": False,
            "security_context": pod_security(),
            "containers": [self._container()],
            "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "64Mi"}}],
        }

    def _container(self) -> k8s.core.v1.ContainerArgsDict:
        return {
            "name": "controller",
            "image": self._args.image,
            "args": ["--namespaced", "--leader-elect=false", "--logformat=json"],
            "ports": [{"name": "http", "container_port": 8080}, {"name": "metrics", "container_port": 8090}],
            "resources": quantities(RESOURCES),
            "security_context": container_security(),
            "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 (a volume of the pod's own)
            "startup_probe": http_probe("/healthz", period=1, failures=120),
            "readiness_probe": http_probe("/healthz", period=10, failures=3),
            "liveness_probe": http_probe("/healthz", period=20, failures=3),
        }

    def _create_network_policy(self) -> None:
        # The API server is no pod, and its port is the cluster's choice; the rest is names and Prometheus.
        anywhere: network.Egress = {"to": [{"ip_block": {"cidr": "0.0.0.0/0"}}, {"namespace_selector": {}}]}
        network.allow(self._labels, self._args.site, self._own, egress=[anywhere])

    def _metadata(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": NAME, "namespace": self._args.site.namespace, "labels": self._labels.metadata}


READ = ["get", "list", "watch"]
WRITE = [*READ, "create", "update", "patch", "delete"]


def _rules() -> list[k8s.rbac.v1.PolicyRuleArgsDict]:
    """Return what the controller needs for canaries and blue-green rollouts without a router of traffic, no more."""
    argo = [
        _rule("argoproj.io", ["rollouts", "rollouts/status", "rollouts/finalizers"], [*READ, "update", "patch"]),
        _rule("argoproj.io", ["analysisruns", "analysisruns/finalizers"], WRITE),
        _rule("argoproj.io", ["analysistemplates", "experiments"], READ),
    ]
    own = [
        _rule("apps", ["replicasets"], WRITE),
        _rule("batch", ["jobs"], WRITE),
        _rule("", ["services"], [*READ, "patch"]),
        _rule("", ["pods"], READ),
        _rule("", ["events"], ["create", "update", "patch"]),
        # It watches these whether or not a route is asked for.
        _rule("networking.k8s.io", ["ingresses"], READ),
    ]
    return [*argo, *own, *_notifications()]


def _notifications() -> list[k8s.rbac.v1.PolicyRuleArgsDict]:
    # It does not start before it has looked for both, which a stack does not have.
    return [
        {**_rule("", ["secrets"], READ), "resource_names": [f"{NAME}-notification-secret"]},
        {**_rule("", ["configmaps"], READ), "resource_names": [f"{NAME}-notification-configmap", f"{NAME}-config"]},
    ]


def _rule(group: str, resources: list[str], verbs: list[str]) -> k8s.rbac.v1.PolicyRuleArgsDict:
    return {"api_groups": [group], "resources": resources, "verbs": verbs}
