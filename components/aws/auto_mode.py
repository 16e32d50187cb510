"""EKS Auto Mode: AWS starts, patches and ends nodes for the NodePools that a cluster has.

Sources: https://docs.aws.amazon.com/eks/latest/userguide/automode.html, …/auto-cluster-iam-role.html,
…/auto-create-node-role.html.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.pools import PoolGround
from components.aws.roles import Role, RoleArgs, service_trust

# What the cluster's role may do besides, so that AWS can act for it.
POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
AUTO_NODE = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"


def cluster() -> dict[str, Any]:
    """Return the arguments of a cluster with Auto Mode and none of its own NodePools; AWS takes all three or none."""
    return {
        "compute_config": aws.eks.ClusterComputeConfigArgs(enabled=True, node_pools=[]),
        "kubernetes_network_config": aws.eks.ClusterKubernetesNetworkConfigArgs(
            elastic_load_balancing=aws.eks.ClusterKubernetesNetworkConfigElasticLoadBalancingArgs(enabled=True)
        ),
        "storage_config": aws.eks.ClusterStorageConfigArgs(
            block_storage=aws.eks.ClusterStorageConfigBlockStorageArgs(enabled=True)
        ),
    }


def admitted_role(name: str, ground: PoolGround, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Make the role of nodes that AWS starts, and let them into the cluster; returns the role's name."""
    role = Role(
        name, RoleArgs(trust=service_trust("ec2.amazonaws.com"), managed=NODE_POLICIES, allowed=ground.allowed), opts
    )
    entry = aws.eks.AccessEntry(name, cluster_name=ground.cluster.name, principal_arn=role.arn, type="EC2", opts=opts)
    policy = aws.eks.AccessPolicyAssociation(
        name,
        cluster_name=ground.cluster.name,
        principal_arn=role.arn,
        policy_arn=AUTO_NODE,
        access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[entry])),
    )
    return pulumi.Output.all(role.name, policy.urn).apply(lambda found: str(found[0]))
