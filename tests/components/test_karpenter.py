"""Karpenter: what it may do in AWS, what it hears, and in which order it comes and goes."""

from __future__ import annotations

import json
import re

import pytest

from components.aws.pools import required
from tests.components.gpus import Stacks, kinds, urn
from tests.components.programs import Run
from tests.components.test_aws import ACCOUNT, REGION, statements

# What a run of instances reads, and does not make: everybody's, or the account's network.
READ = {"image", "snapshot", "security-group", "subnet", "capacity-reservation", "placement-group"}
# What AWS lists has no resources that a policy could name.
LISTS = ("ec2:Describe", "pricing:GetProducts", "iam:ListInstanceProfiles")


def test_karpenter_is_pinned_and_runs_on_system_nodes_alone(pools: Run) -> None:
    chart = pools.of("Chart")["karpenter"]
    assert (chart["chart"], chart["version"]) == ("oci://public.ecr.aws/karpenter/karpenter", "1.14.1")
    values = chart["values"]
    assert values["nodeSelector"]["modelstack.dev/nodes"] == "system"
    assert values["settings"]["clusterName"] == "modelstack-prod"
    assert set(values["controller"]["resources"]) == {"requests", "limits"}


def test_each_controller_has_a_system_node_of_its_own(pools: Run, others: Stacks) -> None:
    replicas = [one.of("Chart")["karpenter"]["values"]["replicas"] for one in (pools, others["karpenter"])]
    least = [one.of("NodeGroup")["system"]["scalingConfig"]["minSize"] for one in (pools, others["karpenter"])]
    assert (replicas, least) == ([2, 1], [2, 1])


def test_karpenters_nodes_are_admitted_under_a_role_that_only_joins_and_pulls(pools: Run) -> None:
    entry = pools.of("AccessEntry")["karpenter-nodes"]
    assert (entry["type"], entry["principalArn"]) == ("EC2_LINUX", "arn:aws:test:::Role/karpenter-nodes")
    attached = [
        one["policyArn"] for one in pools.of("RolePolicyAttachment").values() if one["role"] == "karpenter-nodes"
    ]
    names = {one.rpartition("/")[2] for one in attached}
    assert names == {
        "AmazonEKSWorkerNodePolicy",
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonSSMManagedInstanceCore",
    }
    profile = pools.of("InstanceProfile")["karpenter-nodes"]
    assert profile["role"] == "karpenter-nodes"
    assert {one["spec"]["instanceProfile"] for one in kinds(pools, "EC2NodeClass").values()} == {"karpenter-nodes"}


def test_the_controller_takes_its_role_by_pod_identity(pools: Run) -> None:
    (association,) = pools.of("PodIdentityAssociation").values()
    assert (association["namespace"], association["serviceAccount"]) == ("karpenter", "karpenter")
    trust = json.loads(pools.of("Role")["karpenter"]["assumeRolePolicy"])["Statement"][0]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert pools.of("Chart")["karpenter"]["values"]["serviceAccount"] == {"name": "karpenter"}


def test_the_controller_passes_the_nodes_role_alone_and_makes_no_profile(pools: Run) -> None:
    passed = [one for one in statements(pools) if "iam:PassRole" in one["Action"]]
    assert [one["Resource"] for one in passed] == [["arn:aws:test:::Role/karpenter-nodes"]]
    actions = {action for one in statements(pools) for action in one["Action"]}
    assert not {one for one in actions if one.startswith("iam:") and one.partition(":")[2][:3] in ("Cre", "Del", "Add")}


def test_no_role_may_do_everything_and_only_lists_are_of_everything(pools: Run) -> None:
    for one in statements(pools):
        assert not [action for action in one["Action"] if "*" in action]
        if "*" in one["Resource"]:
            assert all(action.startswith(LISTS) for action in one["Action"]), one
        if any(action.startswith(("ec2:Run", "ec2:Terminate", "ec2:Delete")) for action in one["Action"]):
            read = all(resource.rpartition(":")[2].partition("/")[0] in READ for resource in one["Resource"])
            assert read or "kubernetes.io/cluster/modelstack-prod" in json.dumps(one.get("Condition")), one
    attached = [one["policyArn"] for one in pools.of("RolePolicyAttachment").values()]
    assert not [one for one in attached if "FullAccess" in one]


def test_a_roles_own_policies_are_as_long_as_iam_takes(pools: Run) -> None:
    own = [one["policy"] for one in pools.of("RolePolicy").values() if "karpenter" in one["role"].lower()]
    assert len(own) == 3
    assert sum(len("".join(one.split())) for one in own) < 10_240


def test_karpenter_hears_of_nodes_that_go(pools: Run) -> None:
    queue = pools.of("Queue")["karpenter"]
    assert (queue["messageRetentionSeconds"], queue["sqsManagedSseEnabled"]) == (300, True)
    assert pools.of("Chart")["karpenter"]["values"]["settings"]["interruptionQueue"] == "karpenter"
    patterns = {json.loads(one["eventPattern"])["detail-type"][0] for one in pools.of("EventRule").values()}
    assert patterns == {
        "AWS Health Event",
        "EC2 Spot Instance Interruption Warning",
        "EC2 Instance Rebalance Recommendation",
        "EC2 Instance State-change Notification",
        "EC2 Capacity Reservation Instance Interruption Warning",
    }
    targets = pools.of("EventTarget")
    assert {one["arn"] for one in targets.values()} == {"arn:aws:test:::Queue/karpenter"}
    assert {one["rule"] for one in targets.values()} == set(pools.of("EventRule"))
    allowed, clear = json.loads(pools.of("QueuePolicy")["karpenter"]["policy"])["Statement"]
    assert allowed["Principal"] == {"Service": ["events.amazonaws.com"]}
    assert (clear["Effect"], clear["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_a_pool_without_what_its_engine_makes_is_an_error_and_no_node_without_a_role() -> None:
    assert required("profile", "karpenter-nodes") == "karpenter-nodes"
    with pytest.raises(ValueError, match="profile: is missing; give what the pool's engine makes"):
        required("profile", None)


def test_the_release_is_pinned_as_karpenter_names_it(pools: Run) -> None:
    aliases = {name: one["spec"]["amiSelectorTerms"] for name, one in kinds(pools, "EC2NodeClass").items()}
    assert aliases == {"l4": [{"alias": "al2023@v20260714"}], "l40s": [{"alias": "bottlerocket@v1.54.0"}]}


def test_a_pool_goes_before_its_class_and_that_before_karpenter(pools: Run, others: Stacks) -> None:
    chart = urn(pools, "helm.sh/v4:Chart::karpenter")
    for name in ("l4", "l40s"):
        pool, class_ = urn(pools, f"v1:NodePool::{name}"), urn(pools, f"EC2NodeClass::{name}")
        assert class_ in pools.waits_for(pool)
        assert chart in pools.waits_for(class_)
    auto = others["auto"]
    assert urn(auto, "NodeClass::t4") in auto.waits_for(urn(auto, "v1:NodePool::t4"))
    assert urn(pools, "NodeOverlay::l40s") in pools.waits_for(urn(pools, "v1:NodePool::l40s"))


def test_karpenter_comes_when_it_may_act_and_hears(pools: Run) -> None:
    before = pools.waits_for(urn(pools, "helm.sh/v4:Chart::karpenter"))
    for ending in ("PodIdentityAssociation::karpenter", "AccessEntry::karpenter-nodes", "EventTarget::karpenter-spot"):
        assert urn(pools, ending) in before
    assert urn(pools, "NetworkPolicy::karpenter") in before


def test_policies_of_the_region_name_the_region_and_no_account_but_this(pools: Run) -> None:
    named = [resource.split(":") for one in statements(pools) for resource in one["Resource"] if resource != "*"]
    regional = [one for one in named if one[2] in ("ec2", "ssm")]
    assert len(regional) > 20
    # Who may act is of the account already; the tags say the rest.
    assert {(one[3], one[4]) for one in regional} == {(REGION, ""), (REGION, "*")}
    texts = json.dumps([one["policy"] for one in pools.of("RolePolicy").values()])
    assert set(re.findall(r"(?<![0-9])[0-9]{12}(?![0-9])", texts)) <= {ACCOUNT}
