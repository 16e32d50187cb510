"""What Karpenter's controller may do in AWS, each statement with the condition that keeps it to its own nodes.

Source: https://karpenter.sh/v1.14/reference/cloudformation/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

Statement = Mapping[str, Any]
Statements = pulumi.Input[Sequence[Statement]]
POOL = "karpenter.sh/nodepool"
# What a run of instances reads, and what it makes.
READ = ("security-group", "subnet", "capacity-reservation", "placement-group")
MADE = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")
RUN = ["ec2:RunInstances", "ec2:CreateFleet"]
# Lists have no resources that a policy could name: https://docs.aws.amazon.com/service-authorization/latest/reference
# (Amazon EC2, AWS Price List, AWS IAM). Those of EC2 are kept to the region.
LISTED = [
    f"ec2:Describe{one}"
    for one in (
        *("CapacityReservations", "Images", "Instances", "InstanceStatus", "InstanceTypeOfferings", "InstanceTypes"),
        *("LaunchTemplates", "PlacementGroups", "SecurityGroups", "SpotPriceHistory", "Subnets"),
    )
]


def statements(
    region: str,
    cluster: aws.eks.Cluster,
    queue: aws.sqs.Queue,
    nodes: tuple[pulumi.Input[str], pulumi.Input[str]],
) -> dict[str, Statements]:
    """Return name → statements; `nodes` are the arns of the nodes' role and instance profile."""
    return {
        "nodes": cluster.name.apply(lambda name: _of_nodes(f"arn:aws:ec2:{region}", str(name))),
        "integration": _integration(cluster, queue, nodes),
        "discovery": _discovery(region),
    }


def _of_nodes(ec2: str, cluster: str) -> list[Statement]:
    owned = f"kubernetes.io/cluster/{cluster}"
    theirs = {"StringEquals": {f"aws:ResourceTag/{owned}": "owned"}, "StringLike": {f"aws:ResourceTag/{POOL}": "*"}}
    asked = {
        "StringEquals": {f"aws:RequestTag/{owned}": "owned", "aws:RequestTag/eks:eks-cluster-name": cluster},
        "StringLike": {f"aws:RequestTag/{POOL}": "*"},
    }
    created = ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]
    tagged = {**asked, "StringEquals": {**asked["StringEquals"], "ec2:CreateAction": created}}
    renamed = {
        **theirs,
        "StringEqualsIfExists": {"aws:RequestTag/eks:eks-cluster-name": cluster},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"]},
    }
    read = [f"{ec2}::image/*", f"{ec2}::snapshot/*", *(f"{ec2}:*:{one}/*" for one in READ)]
    made = [f"{ec2}:*:{one}/*" for one in MADE]
    return [
        _allow(RUN, read),
        _allow(RUN, [f"{ec2}:*:launch-template/*"], theirs),
        _allow([*RUN, "ec2:CreateLaunchTemplate"], made, asked),
        _allow(["ec2:CreateTags"], made, tagged),
        _allow(["ec2:CreateTags"], [f"{ec2}:*:instance/*"], renamed),
        _allow(
            ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            [f"{ec2}:*:instance/*", f"{ec2}:*:launch-template/*"],
            theirs,
        ),
    ]


def _integration(
    cluster: aws.eks.Cluster, queue: aws.sqs.Queue, nodes: tuple[pulumi.Input[str], pulumi.Input[str]]
) -> list[Statement]:
    role, profile = nodes
    to_instances = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    return [
        _allow(["iam:PassRole"], [role], to_instances),
        _allow(["iam:GetInstanceProfile"], [profile]),
        _allow(["eks:DescribeCluster"], [cluster.arn]),
        _allow(["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"], [queue.arn]),
    ]


def _discovery(region: str) -> list[Statement]:
    return [
        _allow(LISTED, ["*"], {"StringEquals": {"aws:RequestedRegion": region}}),
        _allow(["pricing:GetProducts"], ["*"]),
        _allow(["iam:ListInstanceProfiles"], ["*"]),
        _allow(["ssm:GetParameter"], [f"arn:aws:ssm:{region}::parameter/aws/service/*"]),
    ]


def _allow(
    actions: list[str], resources: Sequence[pulumi.Input[str]], condition: Mapping[str, Any] | None = None
) -> Statement:
    found = {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
    return {**found, "Condition": condition} if condition else found
