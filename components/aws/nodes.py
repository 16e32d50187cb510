"""NodeGroup: nodes that EKS manages, of one kind."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.roles import Allowed, Role, RoleArgs, service_trust
from components.aws.tags import tags

# What pods do in AWS they do by Pod Identity: a node itself only joins and pulls.
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore")
SYSTEM_TAINT = "CriticalAddonsOnly"
ROOT_DEVICE = "/dev/xvda"


@dataclass(frozen=True, kw_only=True)
class NodeGroupArgs:
    """Nodes of one kind."""

    cluster: pulumi.Input[str]
    version: pulumi.Input[str]
    role: pulumi.Input[str]
    subnets: list[pulumi.Output[str]]
    types: tuple[str, ...]
    least: int
    most: int
    disk: int
    """GiB."""
    system: bool = False
    """Whether what every cluster needs runs here, and nothing else."""


class NodeGroup(pulumi.ComponentResource):
    """Managed nodes: encrypted disks, and metadata that no pod reads."""

    group: aws.eks.NodeGroup

    def __init__(self, name: str, args: NodeGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:NodeGroup", name, None, opts)
        template = create_template(
            name, TemplateArgs(disks={ROOT_DEVICE: args.disk}), pulumi.ResourceOptions(parent=self)
        )
        taint = aws.eks.NodeGroupTaintArgs(key=SYSTEM_TAINT, value="true", effect="NO_SCHEDULE")
        self.group = aws.eks.NodeGroup(
            name,
            cluster_name=args.cluster,
            version=args.version,
            node_role_arn=args.role,
            subnet_ids=args.subnets,
            ami_type="AL2023_x86_64_STANDARD",
            instance_types=list(args.types),
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(
                min_size=args.least, max_size=args.most, desired_size=args.least
            ),
            update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
            launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            labels={"modelstack.dev/nodes": "system" if args.system else "workers"},
            taints=[taint] if args.system else None,
            # An autoscaler changes how many there are.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["scalingConfig.desiredSize"]),
        )
        self._name = name
        self.register_outputs({})

    @property
    def autoscaling(self) -> pulumi.Output[str]:
        """Name of the group by which AWS starts and ends the nodes; it raises RunError where AWS tells none."""
        found: pulumi.Output[str] = self.group.resources.apply(lambda told: autoscaling_of(self._name, told))
        return found


@dataclass(frozen=True, kw_only=True)
class TemplateArgs:
    """What an instance of a launch template has beside its type and image."""

    disks: Mapping[str, int]
    """Device → GiB."""
    throughput: int | None = None
    """MiB a second of each disk; what gp3 has without extra cost where None."""
    user_data: str | None = None
    """As text."""


def create_template(name: str, args: TemplateArgs, opts: pulumi.ResourceOptions) -> aws.ec2.LaunchTemplate:
    """Make a launch template: disks are encrypted, and no pod reads the instance's metadata."""
    return aws.ec2.LaunchTemplate(
        name,
        metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
        ),
        block_device_mappings=[_disk(device, size, args.throughput) for device, size in args.disks.items()],
        user_data=base64.b64encode(args.user_data.encode()).decode() if args.user_data else None,
        # The provider's own tags do not reach what a group starts, and a budget counts by them.
        tag_specifications=[
            aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags={"Name": name, **tags()})
            for kind in ("instance", "volume")
        ],
        opts=opts,
    )


def _disk(device: str, size: int, throughput: int | None) -> aws.ec2.LaunchTemplateBlockDeviceMappingArgs:
    ebs = aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
        volume_size=size, volume_type="gp3", throughput=throughput, encrypted="true", delete_on_termination="true"
    )
    return aws.ec2.LaunchTemplateBlockDeviceMappingArgs(device_name=device, ebs=ebs)


def autoscaling_of(name: str, resources: Sequence[aws.eks.outputs.NodeGroupResource]) -> str:
    """Return the autoscaling group of a node group of EKS. Raises RunError where AWS tells of none."""
    groups = [str(group.name) for one in resources for group in one.autoscaling_groups or []]
    if not groups:
        raise pulumi.RunError(f"node group {name}: EKS tells of no autoscaling group of it; run `pulumi refresh`")
    return groups[0]


def node_role(name: str, opts: pulumi.ResourceOptions, allowed: Mapping[str, Allowed]) -> Role:
    """Return the role of a cluster's nodes, with what it is allowed beside joining and pulling."""
    trust = service_trust("ec2.amazonaws.com")
    return Role(name, RoleArgs(trust=trust, managed=NODE_POLICIES, allowed=allowed), opts)
