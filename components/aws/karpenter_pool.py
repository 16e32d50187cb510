"""Nodes with GPUs that Karpenter starts: a NodePool of its own kinds, and the EC2NodeClass that it names.

Sources: https://karpenter.sh/v1.14/concepts/nodepools/, …/nodeclasses/, …/nodeoverlays/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.aws.managed_pool import PULL_THROUGHPUT, disks
from components.aws.node_config import user_data
from components.aws.pools import PoolArgs, required
from components.aws.tags import tags
from components.gpu import POOL, TAINT
from settings import GpuPoolSettings
from settings.node_pools import DRAIN_HOURS, GPU

GROUP = "karpenter.k8s.aws"
CAPACITY = "karpenter.sh/capacity-type"
FAMILIES = {"al2023": "AL2023", "bottlerocket": "Bottlerocket"}
# A pool stays until the last node of it is gone, which waits for its pods; a class, until no pool names it.
OF_POOL = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(delete=f"{DRAIN_HOURS + 1}h"))
OF_CLASS = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(delete="30m"))
Spec = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PoolNodes:
    """The kind of class that a NodePool names; it has the pool's name."""

    group: str
    kind: str
    limits: Mapping[str, str]
    """Resource → what all nodes of the pool together may have; as texts, since the API server makes them that."""


def create(args: PoolArgs, opts: pulumi.ResourceOptions) -> None:
    """Make the EC2NodeClass and the NodePool of a pool, and tell Karpenter of shares of GPUs."""
    name, pool = args.name, args.settings
    node_class = k8s.apiextensions.CustomResource(
        name,
        api_version=f"{GROUP}/v1",
        kind="EC2NodeClass",
        metadata={"name": name},
        spec=_class(args),
        opts=pulumi.ResourceOptions.merge(opts, OF_CLASS),
    )
    after: list[pulumi.Resource] = [node_class]
    if pool.resource != GPU:
        after.append(_overlay(name, pool, opts))
    nodes = PoolNodes(group=GROUP, kind="EC2NodeClass", limits={"nodes": str(pool.max)})
    node_pool(name, pool, nodes, pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=after)))


def _class(args: PoolArgs) -> Spec:
    pool, ground = args.settings, args.ground
    # The provider's own tags do not reach what Karpenter starts, and a budget counts by them.
    told: Spec = {
        "tags": tags(),
        "amiFamily": FAMILIES[pool.os],
        "amiSelectorTerms": [{"alias": alias(pool)}],
        "instanceProfile": required("profile", args.profile),
        "subnetSelectorTerms": [{"id": one} for one in ground.subnets],
        "securityGroupSelectorTerms": [{"id": ground.security_group}],
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "blockDeviceMappings": [_disk(device, size, pool) for device, size in disks(pool).items()],
        "userData": user_data(pool, disks=False),
        "instanceStorePolicy": "RAID0" if pool.local_disks else None,
        "capacityReservationSelectorTerms": [{"id": pool.reservation}] if pool.reservation else None,
    }
    return {key: value for key, value in told.items() if value is not None}


def alias(pool: GpuPoolSettings) -> str:
    """Return the release as Karpenter names it: of 1.36.2-20260714 the date, of Bottlerocket's 1.54.0-… the version."""
    version, _, build = (pool.release or "").partition("-")
    return f"{pool.os}@v{build if pool.os == 'al2023' else version}"


def _disk(device: str, size: int, pool: GpuPoolSettings) -> Spec:
    ebs: Spec = {"volumeSize": f"{size}Gi", "volumeType": "gp3", "encrypted": True, "deleteOnTermination": True}
    if pool.parallel_pull:
        ebs["throughput"] = PULL_THROUGHPUT
    return {"deviceName": device, "ebs": ebs}


def _overlay(name: str, pool: GpuPoolSettings, opts: pulumi.ResourceOptions) -> k8s.apiextensions.CustomResource:
    """Make the NodeOverlay without which Karpenter would start no node for a share: no instance type offers any."""
    spec: Spec = {
        "requirements": [_in("karpenter.sh/nodepool", [name]), _in("node.kubernetes.io/instance-type", pool.types)],
        "capacity": {pool.resource: str(pool.offered)},
    }
    return k8s.apiextensions.CustomResource(
        name,
        api_version="karpenter.sh/v1alpha1",
        kind="NodeOverlay",
        metadata={"name": name},
        spec=spec,
        opts=opts,
    )


def node_pool(name: str, pool: GpuPoolSettings, nodes: PoolNodes, opts: pulumi.ResourceOptions) -> None:
    """Make the NodePool, of Karpenter or of EKS Auto Mode."""
    spec: Spec = {
        "limits": nodes.limits,
        "disruption": {
            "consolidationPolicy": "WhenEmptyOrUnderutilized",
            "consolidateAfter": f"{pool.idle_seconds}s",
            "budgets": [{"nodes": "1"}],
        },
        "template": {
            "metadata": {"labels": {POOL: name, "modelstack.dev/nodes": "gpu"}},
            "spec": {
                "nodeClassRef": {"group": nodes.group, "kind": nodes.kind, "name": name},
                "expireAfter": pool.expires,
                "terminationGracePeriod": f"{DRAIN_HOURS}h",
                "taints": [{"key": TAINT, "value": "true", "effect": "NoSchedule"}],
                "requirements": _requirements(pool),
            },
        },
    }
    k8s.apiextensions.CustomResource(
        name,
        api_version="karpenter.sh/v1",
        kind="NodePool",
        metadata={"name": name},
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, OF_POOL),
    )


def _requirements(pool: GpuPoolSettings) -> list[Spec]:
    # Of several Karpenter takes what is reserved first, then spot, then on-demand.
    kinds = {"onDemand": ["on-demand"], "spot": ["spot"], "spotFirst": ["spot", "on-demand"]}[pool.capacity]
    return [
        _in(CAPACITY, [*(["reserved"] if pool.reservation else []), *kinds]),
        _in("node.kubernetes.io/instance-type", pool.types),
        _in("kubernetes.io/arch", ["amd64"]),
    ]


def _in(key: str, values: list[str] | tuple[str, ...]) -> Spec:
    return {"key": key, "operator": "In", "values": list(values)}
