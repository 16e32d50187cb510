"""Nodes with GPUs that EKS Auto Mode starts: a NodePool of Karpenter's kind, and the NodeClass that it names.

Source: https://docs.aws.amazon.com/eks/latest/userguide/create-node-class.html.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.aws.karpenter_pool import OF_CLASS, PoolNodes, node_pool
from components.aws.pools import PoolArgs, required
from settings.node_pools import GPU

GROUP = "eks.amazonaws.com"


def create(args: PoolArgs, opts: pulumi.ResourceOptions) -> None:
    """Make the NodeClass and the NodePool of a pool; image, plugin, disks and pulls are AWS' choice."""
    name, pool, ground = args.name, args.settings, args.ground
    spec: dict[str, Any] = {
        "role": required("auto_role", args.auto_role),
        "subnetSelectorTerms": [{"id": one} for one in ground.subnets],
        "securityGroupSelectorTerms": [{"id": ground.security_group}],
        "ephemeralStorage": {"size": f"{pool.disk}Gi"},
        "networkPolicy": "DefaultAllow",
    }
    if pool.reservation:
        spec["capacityReservationSelectorTerms"] = [{"id": pool.reservation}]
    node_class = k8s.apiextensions.CustomResource(
        name,
        api_version=f"{GROUP}/v1",
        kind="NodeClass",
        metadata={"name": name},
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, OF_CLASS),
    )
    # Which Karpenter AWS runs, and whether it counts nodes, it does not say: GPUs every one counts.
    nodes = PoolNodes(group=GROUP, kind="NodeClass", limits={GPU: str(pool.max * pool.gpus)})
    node_pool(name, pool, nodes, pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[node_class])))
