"""EKS Auto Mode: what it may do, and which nodes it starts; each promise of docs/gpu-pools.md, by resource."""

from __future__ import annotations

import json

from tests.components.gpus import Stacks, kinds
from tests.components.programs import Object, Run


def eks(pools: Run) -> Object:
    return next(one for one in pools.made if one.type == "aws:eks/cluster:Cluster").inputs


def test_auto_mode_is_all_of_it_or_none(others: Stacks) -> None:
    made = eks(others["auto"])
    assert made["computeConfig"] == {"enabled": True, "nodePools": []}
    assert made["kubernetesNetworkConfig"] == {"elasticLoadBalancing": {"enabled": True}}
    assert made["storageConfig"] == {"blockStorage": {"enabled": True}}
    for name in ("none", "managed", "karpenter"):
        assert not {"computeConfig", "kubernetesNetworkConfig", "storageConfig"} & set(eks(others[name]))


def test_aws_may_act_for_the_cluster_with_auto_mode_and_not_without(others: Stacks) -> None:
    def of_cluster(one: Run) -> set[str]:
        attached = [two for two in one.of("RolePolicyAttachment").values() if two["role"] == "eks"]
        return {two["policyArn"].rpartition("/")[2] for two in attached}

    assert of_cluster(others["auto"]) == {
        "AmazonEKSClusterPolicy",
        "AmazonEKSComputePolicy",
        "AmazonEKSBlockStoragePolicy",
        "AmazonEKSLoadBalancingPolicy",
        "AmazonEKSNetworkingPolicy",
    }
    trust = json.loads(others["auto"].of("Role")["eks"]["assumeRolePolicy"])["Statement"][0]
    assert trust["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert of_cluster(others["managed"]) == {"AmazonEKSClusterPolicy"}


def test_nodes_of_auto_mode_are_admitted_under_a_role_that_only_joins_and_pulls(others: Stacks) -> None:
    auto = others["auto"]
    entry = auto.of("AccessEntry")["auto-nodes"]
    assert (entry["type"], entry["principalArn"]) == ("EC2", "arn:aws:test:::Role/auto-nodes")
    policy = auto.of("AccessPolicyAssociation")["auto-nodes"]["policyArn"]
    assert policy == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"
    assert kinds(auto, "NodeClass")["t4"]["spec"]["role"] == "auto-nodes"


def test_a_class_of_auto_mode_says_what_aws_leaves_open(others: Stacks) -> None:
    spec = kinds(others["auto"], "NodeClass")["t4"]["spec"]
    assert spec["ephemeralStorage"] == {"size": "100Gi"}
    assert set(spec) == {
        *("role", "subnetSelectorTerms", "securityGroupSelectorTerms", "ephemeralStorage", "networkPolicy"),
    }
