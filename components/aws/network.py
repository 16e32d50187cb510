"""Network: a VPC with private subnets for nodes in each zone, and the ways out of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.logs import LogGroup, LogGroupArgs
from components.aws.roles import Role, RoleArgs, service_trust

ANYWHERE = "0.0.0.0/0"
# Eight parts: the first four are private, one a zone; the fifth holds the public ones; three stay free.
PARTS, PUBLIC = 3, 4
# By these the nodes pull images, ask who they are, and write logs, without a way through the internet.
INTERFACES = ("ecr.api", "ecr.dkr", "sts", "logs", "eks-auth")


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Where the network lies and how it leads out."""

    region: str
    cidr: str
    """An IPv4 network of /16 to /20."""
    zones: tuple[str, ...]
    """Letters after the region's name."""
    gateway_a_zone: bool
    """Whether each zone has a NAT gateway of its own, so that one zone's end is not every zone's."""
    log_days: int


class Network(pulumi.ComponentResource):
    """A VPC whose nodes have no public address; every flow in it is logged."""

    vpc: aws.ec2.Vpc
    private: list[pulumi.Output[str]]
    """Ids of the private subnets, one a zone."""
    public: list[pulumi.Output[str]]
    """Ids of the public subnets, where load balancers face the internet."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Network", name, None, opts)
        self._name, self._args = name, args
        self._own = pulumi.ResourceOptions(parent=self)
        parts = list(ipaddress.IPv4Network(args.cidr).subnets(PARTS))
        self.vpc = aws.ec2.Vpc(
            name,
            cidr_block=args.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=self._named(name),
            opts=self._own,
        )
        self._close_default_group()
        public = self._create_public(list(parts[PUBLIC].subnets(PARTS)))
        self.public = [subnet.id for subnet in public]
        tables = self._create_private(parts, self._create_gateways(public))
        self._create_endpoints(tables)
        self._log_flows()
        self.register_outputs({"vpc": self.vpc.id, "private": self.private})

    def _named(self, name: str, tags: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"Name": f"{pulumi.get_project()}-{pulumi.get_stack()}-{name}", **(tags or {})}

    def _close_default_group(self) -> None:
        # Whoever forgets to name a security group is let in and out nowhere.
        aws.ec2.DefaultSecurityGroup(f"{self._name}-default", vpc_id=self.vpc.id, opts=self._own)

    def _create_public(self, parts: list[ipaddress.IPv4Network]) -> list[aws.ec2.Subnet]:
        """Return a small subnet a zone for what faces the internet: gateways and load balancers."""
        gateway = aws.ec2.InternetGateway(self._name, vpc_id=self.vpc.id, tags=self._named(self._name), opts=self._own)
        table = self._table("public", aws.ec2.RouteTableRouteArgs(cidr_block=ANYWHERE, gateway_id=gateway.id))
        found = []
        for zone, part in zip(self._args.zones, parts, strict=False):
            subnet = self._subnet(f"public-{zone}", zone, part, {"kubernetes.io/role/elb": "1"})
            self._associate(f"public-{zone}", subnet, table)
            found.append(subnet)
        return found

    def _create_gateways(self, public: list[aws.ec2.Subnet]) -> list[aws.ec2.NatGateway]:
        """Return the NAT gateways, as many as there are zones, or one."""
        chosen = public if self._args.gateway_a_zone else public[:1]
        found = []
        for zone, subnet in zip(self._args.zones, chosen, strict=False):
            name = f"{self._name}-{zone}"
            address = aws.ec2.Eip(name, domain="vpc", tags=self._named(name), opts=self._own)
            found.append(
                aws.ec2.NatGateway(
                    name, allocation_id=address.id, subnet_id=subnet.id, tags=self._named(name), opts=self._own
                )
            )
        return found

    def _create_private(
        self, parts: list[ipaddress.IPv4Network], gateways: list[aws.ec2.NatGateway]
    ) -> list[aws.ec2.RouteTable]:
        """Make the private subnets and return their route tables."""
        tables, subnets = [], []
        for number, (zone, part) in enumerate(zip(self._args.zones, parts, strict=False)):
            way = gateways[number % len(gateways)]
            route = aws.ec2.RouteTableRouteArgs(cidr_block=ANYWHERE, nat_gateway_id=way.id)
            table = self._table(f"private-{zone}", route)
            subnet = self._subnet(f"private-{zone}", zone, part, {"kubernetes.io/role/internal-elb": "1"})
            self._associate(f"private-{zone}", subnet, table)
            tables.append(table)
            subnets.append(subnet.id)
        self.private = subnets
        return tables

    def _table(self, name: str, route: aws.ec2.RouteTableRouteArgs) -> aws.ec2.RouteTable:
        full = f"{self._name}-{name}"
        return aws.ec2.RouteTable(full, vpc_id=self.vpc.id, routes=[route], tags=self._named(full), opts=self._own)

    def _subnet(self, name: str, zone: str, part: ipaddress.IPv4Network, tags: Mapping[str, str]) -> aws.ec2.Subnet:
        full = f"{self._name}-{name}"
        return aws.ec2.Subnet(
            full,
            vpc_id=self.vpc.id,
            cidr_block=str(part),
            availability_zone=f"{self._args.region}{zone}",
            map_public_ip_on_launch=False,
            tags=self._named(full, tags),
            opts=self._own,
        )

    def _associate(self, name: str, subnet: aws.ec2.Subnet, table: aws.ec2.RouteTable) -> None:
        aws.ec2.RouteTableAssociation(
            f"{self._name}-{name}", subnet_id=subnet.id, route_table_id=table.id, opts=self._own
        )

    def _create_endpoints(self, tables: list[aws.ec2.RouteTable]) -> None:
        service = f"com.amazonaws.{self._args.region}"
        aws.ec2.VpcEndpoint(
            f"{self._name}-s3",
            vpc_id=self.vpc.id,
            service_name=f"{service}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags=self._named(f"{self._name}-s3"),
            opts=self._own,
        )
        group = self._endpoints_group()
        for one in INTERFACES:
            name = f"{self._name}-{one.replace('.', '-')}"
            aws.ec2.VpcEndpoint(
                name,
                vpc_id=self.vpc.id,
                service_name=f"{service}.{one}",
                vpc_endpoint_type="Interface",
                subnet_ids=self.private,
                security_group_ids=[group.id],
                private_dns_enabled=True,
                tags=self._named(name),
                opts=self._own,
            )

    def _endpoints_group(self) -> aws.ec2.SecurityGroup:
        name = f"{self._name}-endpoints"
        return aws.ec2.SecurityGroup(
            name,
            description="HTTPS from the VPC to the endpoints of AWS",
            vpc_id=self.vpc.id,
            ingress=[
                aws.ec2.SecurityGroupIngressArgs(
                    protocol="tcp", from_port=443, to_port=443, cidr_blocks=[self._args.cidr], description="the VPC"
                )
            ],
            tags=self._named(name),
            opts=self._own,
        )

    def _log_flows(self) -> None:
        group = LogGroup(f"{self._name}-flows", LogGroupArgs(days=self._args.log_days), self._own)
        role = Role(
            f"{self._name}-flows",
            RoleArgs(
                trust=service_trust("vpc-flow-logs.amazonaws.com"),
                allowed={"logs": (("logs:CreateLogStream", "logs:PutLogEvents"), group.streams)},
            ),
            self._own,
        )
        aws.ec2.FlowLog(
            f"{self._name}-flows",
            vpc_id=self.vpc.id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=self._named(f"{self._name}-flows"),
            opts=self._own,
        )
