"""Cluster: the Kubernetes provider of a stack and the namespace it works in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.labels import Labels


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """An existing cluster, by kubeconfig, and the namespace to make in it."""

    kubeconfig: pulumi.Input[str]
    """Path of the kubeconfig, or what is in it."""
    context: str | None
    namespace: str
    stack: str
    after: Sequence[pulumi.Resource] = ()
    """What the cluster's pods need first."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What the namespace carries for people."""


class Cluster(pulumi.ComponentResource):
    """A namespace that admits restricted pods only, in the cluster of a kubeconfig."""

    provider: k8s.Provider
    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Cluster", name, None, opts)
        self.provider = k8s.Provider(
            name,
            kubeconfig=args.kubeconfig,
            context=args.context,
            enable_server_side_apply=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        namespace = self._create_namespace(name, args)
        self._deny_by_default(name, args, namespace)
        self.namespace = namespace.metadata.name
        self.register_outputs({"namespace": self.namespace})

    def _create_namespace(self, name: str, args: ClusterArgs) -> k8s.core.v1.Namespace:
        security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        labels = {**Labels("namespace", args.stack).metadata, **security}
        metadata: k8s.meta.v1.ObjectMetaArgsDict = {"name": args.namespace, "labels": labels}
        if args.annotations:
            metadata["annotations"] = args.annotations
        after = pulumi.ResourceOptions(depends_on=list(args.after))
        return k8s.core.v1.Namespace(
            name,
            metadata=metadata,
            opts=pulumi.ResourceOptions.merge(self._child(provider=self.provider), after),
        )

    def _deny_by_default(self, name: str, args: ClusterArgs, namespace: k8s.core.v1.Namespace) -> None:
        k8s.networking.v1.NetworkPolicy(
            f"{name}-default-deny",
            metadata={
                "name": "default-deny",
                "namespace": namespace.metadata.name,
                "labels": Labels("default-deny", args.stack).metadata,
            },
            spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
            opts=self._child(provider=self.provider),
        )

    def _child(self, provider: k8s.Provider) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, provider=provider)
