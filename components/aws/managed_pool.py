"""Nodes with GPUs in node groups that EKS manages: one group a kind of capacity."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components.aws.node_config import user_data
from components.aws.nodes import ROOT_DEVICE, TemplateArgs, create_template
from components.aws.pools import PoolArgs
from components.gpu import POOL, TAINT
from settings import GpuPoolSettings
from settings.gpus import family_of
from settings.node_pools import GPU

IMAGES = {"al2023": "AL2023_x86_64_NVIDIA", "bottlerocket": "BOTTLEROCKET_x86_64_NVIDIA"}
# Settings → the capacities of EKS, the first the one to take where there is any.
CAPACITIES = {"onDemand": ("ON_DEMAND",), "spot": ("SPOT",), "spotFirst": ("SPOT", "ON_DEMAND")}
# Bottlerocket itself lies on the first disk, images and pods on the second.
SYSTEM_GIB, DATA_DEVICE = 4, "/dev/xvdb"
# MiB a second; below that layers pulled side by side wait for the disk (nodeadm's documentation of FastImagePull).
PULL_THROUGHPUT = 600
# By this a cluster-autoscaler knows what a node offers while there is none.
OFFERED = "k8s.io/cluster-autoscaler/node-template/resources"


def create(args: PoolArgs, opts: pulumi.ResourceOptions) -> None:
    """Make the node groups of a pool; who changes how many nodes there are is no part of them."""
    template = create_template(args.name, _template(args.settings), opts)
    for capacity in CAPACITIES[args.settings.capacity]:
        full = f"{args.name}-{capacity.lower().replace('_', '-')}"
        group = _group(full, capacity, args, template, opts)
        if args.settings.share:
            _tell_autoscaler(full, args.settings, group, opts)


def _template(pool: GpuPoolSettings) -> TemplateArgs:
    return TemplateArgs(
        disks=disks(pool),
        throughput=PULL_THROUGHPUT if pool.parallel_pull else None,
        user_data=user_data(pool),
    )


def disks(pool: GpuPoolSettings) -> dict[str, int]:
    """Return device → GiB of a node's network disks."""
    if pool.os == "bottlerocket":
        return {ROOT_DEVICE: SYSTEM_GIB, DATA_DEVICE: pool.disk}
    return {ROOT_DEVICE: pool.disk}


def _group(
    full: str,
    capacity: str,
    args: PoolArgs,
    template: aws.ec2.LaunchTemplate,
    opts: pulumi.ResourceOptions,
) -> aws.eks.NodeGroup:
    pool, ground = args.settings, args.ground
    # What is always there is what nobody takes away, where there are both.
    least = pool.min if capacity == CAPACITIES[pool.capacity][-1] else 0
    return aws.eks.NodeGroup(
        full,
        cluster_name=ground.cluster.name,
        version=ground.cluster.version,
        release_version=pool.release,
        node_role_arn=ground.role,
        subnet_ids=ground.subnets,
        ami_type=IMAGES[pool.os],
        capacity_type=capacity,
        instance_types=list(pool.types),
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(min_size=least, max_size=pool.max, desired_size=least),
        update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
        node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
        launch_template=aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
        labels={POOL: args.name, "modelstack.dev/nodes": "gpu", **_accelerator(pool)},
        taints=[aws.eks.NodeGroupTaintArgs(key=TAINT, value="true", effect="NO_SCHEDULE")],
        # An autoscaler changes how many there are.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["scalingConfig.desiredSize"])),
    )


def _accelerator(pool: GpuPoolSettings) -> dict[str, str]:
    # By it cluster-autoscaler waits for the GPUs of a new node; for shares, which have another name, it would for ever.
    family = family_of(pool.types[0])
    if family is None or pool.resource != GPU:
        return {}
    return {"k8s.amazonaws.com/accelerator": f"nvidia-{family.gpu.lower().replace(' ', '-')}"}


def _tell_autoscaler(full: str, pool: GpuPoolSettings, group: aws.eks.NodeGroup, opts: pulumi.ResourceOptions) -> None:
    """Tell what an instance type does not: how many shares of GPUs a node of it offers."""
    aws.autoscaling.Tag(
        full,
        autoscaling_group_name=group.resources.apply(lambda found: str(found[0].autoscaling_groups[0].name)),
        tag=aws.autoscaling.TagTagArgs(
            key=f"{OFFERED}/{pool.resource}", value=str(pool.offered), propagate_at_launch=False
        ),
        opts=opts,
    )
