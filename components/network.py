"""Who may reach whom: a policy for each kind of pod, beside the one of the namespace that denies everything."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.labels import Labels
from components.site import Site
from settings import ExposureSettings

Peer = k8s.networking.v1.NetworkPolicyPeerArgsDict
Port = k8s.networking.v1.NetworkPolicyPortArgsDict
Ingress = k8s.networking.v1.NetworkPolicyIngressRuleArgsDict
Egress = k8s.networking.v1.NetworkPolicyEgressRuleArgsDict

# The label that the API server puts on every namespace.
NAMESPACE = "kubernetes.io/metadata.name"


def allow(
    labels: Labels,
    site: Site,
    opts: pulumi.ResourceOptions,
    *,
    ingress: Sequence[Ingress] = (),
    egress: pulumi.Input[Sequence[Egress]] = (),
) -> None:
    """Make the policy of `labels`' pods; what no rule names is denied both ways."""
    k8s.networking.v1.NetworkPolicy(
        labels.name,
        metadata={"name": labels.name, "namespace": site.namespace, "labels": labels.metadata},
        spec={
            "pod_selector": {"match_labels": labels.selector},
            "policy_types": ["Ingress", "Egress"],
            "ingress": ingress or None,
            "egress": egress or None,
        },
        opts=opts,
    )


def names() -> Egress:
    """Return the rule that lets a pod ask for names; where the cluster's DNS runs is its own choice."""
    return {"ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}


def tcp(*ports: str) -> list[Port]:
    """Return ports of pods by their names."""
    return [{"port": port, "protocol": "TCP"} for port in ports]


def pods(*chosen: Labels) -> list[Peer]:
    """Return the stack's own pods with these labels."""
    return [{"pod_selector": {"match_labels": labels.selector}} for labels in chosen]


def pods_in(namespace: str, chosen: Labels) -> Peer:
    """Return the pods with these labels in another namespace."""
    where: k8s.meta.v1.LabelSelectorArgsDict = {"match_labels": {NAMESPACE: namespace}}
    return {"namespace_selector": where, "pod_selector": {"match_labels": chosen.selector}}


def clients(exposure: ExposureSettings) -> list[Peer]:
    """Return who may come from outside the stack: who is named, or all namespaces, and anyone where ports are open."""
    if exposure.allow:
        named = list(exposure.allow.namespaces)
        inside: list[Peer] = [
            {"namespace_selector": {"match_expressions": [{"key": NAMESPACE, "operator": "In", "values": named}]}}
        ]
        return [*(inside if named else ()), *({"ip_block": {"cidr": one}} for one in exposure.allow.cidrs)]
    anywhere: list[Peer] = [] if exposure.service == "ClusterIP" else [{"ip_block": {"cidr": "0.0.0.0/0"}}]
    return [{"namespace_selector": {}}, *anywhere]
