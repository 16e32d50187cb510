"""Karpenter: what its controller may do in AWS, what tells it of nodes that go, and the controller itself.

Source of permissions, queue and rules: https://karpenter.sh/v1.14/reference/cloudformation/. Two things are narrower
here: the instance profile is the stack's, so that the controller may make none, and it passes no role but the nodes'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from components import network
from components.aws.karpenter_policy import statements
from components.aws.nodes import node_role
from components.aws.pools import PoolGround
from components.aws.roles import Role, RoleArgs, pod_trust
from components.labels import Labels

NAME = "karpenter"
CHART = "oci://public.ecr.aws/karpenter/karpenter"
# It names its image by digest. 1.13 is the first for Kubernetes 1.36.
VERSION = "1.14.1"
SECONDS_KEPT = 300
# Name → what EventBridge hands on.
EVENTS: Mapping[str, tuple[str, str]] = {
    "health": ("aws.health", "AWS Health Event"),
    "spot": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "state": ("aws.ec2", "EC2 Instance State-change Notification"),
    "reservation": ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning"),
}
RESOURCES = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


@dataclass(frozen=True, kw_only=True)
class KarpenterArgs:
    """The cluster whose nodes it starts."""

    ground: PoolGround
    region: str
    stack: str
    replicas: int
    """Of the controller, each on a system node of its own."""
    shares: bool = False
    """Whether pods share GPUs, which needs an alpha feature: NodeOverlay."""


class Karpenter(pulumi.ComponentResource):
    """Karpenter's controller on the system nodes, under a role of its own; its nodes under another."""

    profile: pulumi.Output[str]
    """Name of the instance profile of its nodes."""
    ready: pulumi.Resource
    """What its objects have to wait for."""

    def __init__(self, name: str, args: KarpenterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Karpenter", name, None, opts)
        self._name, self._args = name, args
        self._own = pulumi.ResourceOptions(parent=self)
        nodes = node_role(f"{name}-nodes", self._own, args.ground.allowed)
        admitted = self._admit(nodes)
        profile = aws.iam.InstanceProfile(f"{name}-nodes", role=nodes.name, opts=self._own)
        self.profile = profile.name
        queue, told = self._create_queue()
        allowed = self._allow(nodes, profile, queue)
        self.ready = self._create_controller(queue, [admitted, allowed, *told])
        self.register_outputs({"profile": self.profile})

    def _admit(self, nodes: Role) -> aws.eks.AccessEntry:
        return aws.eks.AccessEntry(
            f"{self._name}-nodes",
            cluster_name=self._args.ground.cluster.name,
            principal_arn=nodes.arn,
            type="EC2_LINUX",
            opts=self._own,
        )

    def _create_queue(self) -> tuple[aws.sqs.Queue, list[pulumi.Resource]]:
        queue = aws.sqs.Queue(
            self._name, message_retention_seconds=SECONDS_KEPT, sqs_managed_sse_enabled=True, opts=self._own
        )
        policy = aws.sqs.QueuePolicy(
            self._name, queue_url=queue.id, policy=pulumi.Output.json_dumps(_senders(queue)), opts=self._own
        )
        return queue, [policy, *(self._hand_on(key, *found, queue) for key, found in EVENTS.items())]

    def _hand_on(self, key: str, source: str, kind: str, queue: aws.sqs.Queue) -> aws.cloudwatch.EventTarget:
        full = f"{self._name}-{key}"
        pattern = json.dumps({"source": [source], "detail-type": [kind]})
        rule = aws.cloudwatch.EventRule(full, description=kind, event_pattern=pattern, opts=self._own)
        return aws.cloudwatch.EventTarget(full, rule=rule.name, arn=queue.arn, opts=self._own)

    def _allow(
        self, nodes: Role, profile: aws.iam.InstanceProfile, queue: aws.sqs.Queue
    ) -> aws.eks.PodIdentityAssociation:
        args = self._args
        found = statements(args.region, args.ground.cluster, queue, (nodes.arn, profile.arn))
        role = Role(self._name, RoleArgs(trust=pod_trust(), statements=found), self._own)
        return aws.eks.PodIdentityAssociation(
            self._name,
            cluster_name=args.ground.cluster.name,
            namespace=NAME,
            service_account=NAME,
            role_arn=role.arn,
            opts=self._own,
        )

    def _create_controller(self, queue: aws.sqs.Queue, after: list[pulumi.Resource]) -> k8s.helm.v4.Chart:
        namespace = self._create_namespace()
        return k8s.helm.v4.Chart(
            self._name,
            chart=CHART,
            version=VERSION,
            name=NAME,
            namespace=NAME,
            values=self._values(queue),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*namespace, *after]),
        )

    def _values(self, queue: aws.sqs.Queue) -> dict[str, Any]:
        cluster = self._args.ground.cluster
        return {
            "settings": {
                "clusterName": cluster.name,
                "clusterEndpoint": cluster.endpoint,
                "interruptionQueue": queue.name,
                "featureGates": {"nodeOverlay": self._args.shares},
            },
            "replicas": self._args.replicas,
            "controller": {"resources": RESOURCES},
            "serviceAccount": {"name": NAME},
            "nodeSelector": {"kubernetes.io/os": "linux", "modelstack.dev/nodes": "system"},
        }

    def _create_namespace(self) -> list[pulumi.Resource]:
        labels = Labels(NAME, self._args.stack)
        modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        namespace = k8s.core.v1.Namespace(
            NAME, metadata={"name": NAME, "labels": {**labels.metadata, **modes}}, opts=self._own
        )
        # The API server and AWS are no pods, and their addresses are the cluster's choice.
        anywhere: network.Egress = {"to": [{"ip_block": {"cidr": "0.0.0.0/0"}}, {"namespace_selector": {}}]}
        policy = k8s.networking.v1.NetworkPolicy(
            NAME,
            metadata={"name": "default-deny", "namespace": namespace.metadata.name, "labels": labels.metadata},
            spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"], "egress": [anywhere]},
            opts=self._own,
        )
        return [namespace, policy]


def _senders(queue: aws.sqs.Queue) -> dict[str, Any]:
    """Return who may send: EventBridge, and nobody in the clear."""
    events = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com"]},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
    }
    clear = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue.arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [events, clear]}
