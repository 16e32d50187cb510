"""What pools of nodes stand on, whichever engine makes the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.aws.roles import Allowed
from settings import GpuPoolSettings


@dataclass(frozen=True, kw_only=True)
class PoolGround:
    """A cluster and where its nodes lie."""

    cluster: aws.eks.Cluster
    subnets: list[pulumi.Output[str]]
    """Ids of the private subnets, one a zone."""
    role: pulumi.Input[str]
    """Arn of the role of nodes that EKS manages."""
    allowed: Mapping[str, Allowed] = field(default_factory=dict)
    """What every node may do beside joining and pulling."""

    @property
    def security_group(self) -> pulumi.Output[str]:
        """The group of the control plane and of all nodes, which EKS makes."""
        # A planner tells no id that only AWS could know.
        found: pulumi.Output[str] = self.cluster.vpc_config.apply(lambda one: str(one.cluster_security_group_id or ""))
        return found


@dataclass(frozen=True, kw_only=True)
class PoolArgs:
    """Nodes with GPUs of one kind."""

    name: str
    settings: GpuPoolSettings
    ground: PoolGround
    profile: pulumi.Input[str] | None = None
    """Name of the instance profile of nodes that Karpenter starts."""
    auto_role: pulumi.Input[str] | None = None
    """Name of the role of nodes that EKS Auto Mode starts."""


def required(name: str, value: pulumi.Input[str] | None) -> pulumi.Input[str]:
    """Return what a pool's engine needs. Raises ValueError where it is missing."""
    if value is None:
        raise ValueError(f"{name}: is missing; give what the pool's engine makes")
    return value
