"""FrontDoor: the load balancer, the name and the firewall by which clients come to the gateway.

An application load balancer: AWS' firewall stands before such a one and before CloudFront alone. It leads to a port of
every worker node, since then each of its parts is the stack's own: no controller in the cluster makes or keeps one, and
it goes before the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from components import gateway, network
from components.aws.bucket import Bucket, BucketArgs, Writer
from components.aws.cdn import Cdn, CdnArgs
from components.aws.certificate import Certificate, CertificateArgs
from components.aws.firewall import Firewall, FirewallArgs
from components.labels import Labels
from components.site import Site
from settings import FrontDoorSettings, GatewaySettings

NAME = "front-door"
HTTPS = 443
# The newest of AWS' for each oldest version: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
POLICIES = {"1.2": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", "1.3": "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09"}
HEALTH = "/v2/health/live"
# AWS waits no longer for a target that is to go.
LONGEST_DRAIN_SECONDS = 3600
ANYONE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What of the ground a front door stands on."""

    account: str
    region: str
    vpc: pulumi.Input[str]
    cidr: str
    public: list[pulumi.Output[str]]
    """Ids of the public subnets."""
    private: list[pulumi.Output[str]]
    nodes: pulumi.Input[str]
    """Name of the autoscaling group of the worker nodes."""
    nodes_group: pulumi.Input[str]
    """Id of the nodes' security group."""
    log_days: int
    protect: bool


@dataclass(frozen=True, kw_only=True)
class FrontDoorArgs:
    """Where it stands, and what it leads to."""

    settings: FrontDoorSettings
    gateway: GatewaySettings
    models: Sequence[str]
    behind: Behind
    site: Site
    after: Sequence[pulumi.Resource]
    """The gateway: clients come when it answers, and stay away before it goes."""


class FrontDoor(pulumi.ComponentResource):
    """One name, by HTTPS alone; what AWS' firewall refuses never reaches the cluster."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: FrontDoorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:FrontDoor", name, None, opts)
        self._args = args
        self._seconds = args.settings.idle_seconds(args.gateway)
        self._own = pulumi.ResourceOptions(parent=self)
        opened = [*self._open_nodes(), *args.after]
        group, let_in = self._create_group()
        balancer = self._create_balancer(group, opened)
        targets, attached = self._create_targets()
        guard = self._guard(balancer)
        listener = self._listen(balancer, targets, guard)
        record = self._point(balancer, [listener, guard, attached, let_in])
        if args.settings.cdn:
            asked = CdnArgs(
                settings=args.settings.cdn,
                door=args.settings,
                models=args.models,
                log_days=args.behind.log_days,
                after=[record],
            )
            Cdn(f"{NAME}-cdn", asked, self._own)
        # Who is told the URL finds an answer there.
        self.url = pulumi.Output.all(record.urn).apply(lambda _: f"https://{args.settings.host}")
        self.register_outputs({"url": self.url})

    def _open_nodes(self) -> list[pulumi.Resource]:
        """Lead a port of each node to the gateway; returns what does."""
        site = self._args.site
        labels, leads_to = Labels(NAME, site.stack), Labels(gateway.NAME, site.stack)
        metadata: k8s.meta.v1.ObjectMetaArgsDict = {
            "name": NAME,
            "namespace": site.namespace,
            "labels": labels.metadata,
        }
        port: k8s.core.v1.ServicePortArgsDict = {
            "name": "http",
            "port": gateway.LISTENING.port,
            "target_port": "http",
            "node_port": self._args.settings.node_port,
        }
        service = k8s.core.v1.Service(
            NAME,
            metadata=metadata,
            spec={"type": "NodePort", "selector": leads_to.selector, "ports": [port]},
            opts=self._own,
        )
        return [service, self._let_nodes_in(metadata, leads_to)]

    def _let_nodes_in(
        self, metadata: k8s.meta.v1.ObjectMetaArgsDict, leads_to: Labels
    ) -> k8s.networking.v1.NetworkPolicy:
        # A node passes packets on under its own address, which lies in the network, as those of pods do.
        nodes: list[network.Peer] = [{"ip_block": {"cidr": self._args.behind.cidr}}]
        return k8s.networking.v1.NetworkPolicy(
            NAME,
            metadata=metadata,
            spec={
                "pod_selector": {"match_labels": leads_to.selector},
                "policy_types": ["Ingress"],
                "ingress": [{"from_": nodes, "ports": network.tcp("http")}],
            },
            opts=self._own,
        )

    def _guard(self, balancer: aws.lb.LoadBalancer) -> aws.wafv2.WebAclAssociation:
        chosen = self._args.settings
        # CloudFront asks for many clients from few addresses: their requests are counted before it.
        wanted = FirewallArgs(
            requests=None if chosen.cdn else chosen.requests,
            counted=chosen.firewall.counted,
            log_days=self._args.behind.log_days,
        )
        firewall = Firewall(NAME, wanted, self._own)
        return aws.wafv2.WebAclAssociation(NAME, resource_arn=balancer.arn, web_acl_arn=firewall.arn, opts=self._own)

    def _create_balancer(self, group: aws.ec2.SecurityGroup, opened: Sequence[pulumi.Resource]) -> aws.lb.LoadBalancer:
        chosen, behind = self._args.settings, self._args.behind
        logs = self._create_logs()
        return aws.lb.LoadBalancer(
            NAME,
            load_balancer_type="application",
            internal=not chosen.public,
            subnets=behind.public if chosen.public else behind.private,
            security_groups=[group.id],
            access_logs=aws.lb.LoadBalancerAccessLogsArgs(bucket=logs.bucket.bucket, enabled=True),
            idle_timeout=self._seconds,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="strictest",
            enable_deletion_protection=behind.protect,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*opened, *logs.ready]),
        )

    def _create_logs(self) -> Bucket:
        behind = self._args.behind
        # AWS' own page has no condition here: the account is in the path, which load balancers write by theirs.
        writer = Writer("logdelivery.elasticloadbalancing.amazonaws.com", f"AWSLogs/{behind.account}/*")
        # No key of KMS: to a bucket under one application load balancers write nothing.
        return Bucket(
            f"{NAME}-logs", BucketArgs(days=behind.log_days, protect=behind.protect, writers=[writer]), self._own
        )

    def _create_group(self) -> tuple[aws.ec2.SecurityGroup, aws.vpc.SecurityGroupIngressRule]:
        """Return the load balancer's group, and what lets it in at the nodes."""
        chosen, behind = self._args.settings, self._args.behind
        clients = list(chosen.clients) or [ANYONE if chosen.public else behind.cidr]
        port = chosen.node_port
        group = aws.ec2.SecurityGroup(
            NAME,
            description="HTTPS from clients, and the gateway's port of the nodes",
            vpc_id=behind.vpc,
            ingress=[
                aws.ec2.SecurityGroupIngressArgs(
                    protocol="tcp", from_port=HTTPS, to_port=HTTPS, cidr_blocks=clients, description="clients"
                )
            ],
            egress=[
                aws.ec2.SecurityGroupEgressArgs(
                    protocol="tcp",
                    from_port=port,
                    to_port=port,
                    security_groups=[behind.nodes_group],
                    description="nodes",
                )
            ],
            opts=self._own,
        )
        return group, self._let_in(group)

    def _let_in(self, group: aws.ec2.SecurityGroup) -> aws.vpc.SecurityGroupIngressRule:
        port = self._args.settings.node_port
        return aws.vpc.SecurityGroupIngressRule(
            NAME,
            security_group_id=self._args.behind.nodes_group,
            referenced_security_group_id=group.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description="the front door",
            opts=self._own,
        )

    def _create_targets(self) -> tuple[aws.lb.TargetGroup, aws.autoscaling.Attachment]:
        """Return where the door leads, and what makes the nodes a part of it."""
        behind, protocol = self._args.behind, "HTTPS" if self._args.gateway.tls else "HTTP"
        targets = aws.lb.TargetGroup(
            NAME,
            target_type="instance",
            vpc_id=behind.vpc,
            port=self._args.settings.node_port,
            protocol=protocol,
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=min(self._seconds, LONGEST_DRAIN_SECONDS),
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                path=HEALTH, protocol=protocol, matcher="200", interval=10, healthy_threshold=2, unhealthy_threshold=2
            ),
            opts=self._own,
        )
        attached = aws.autoscaling.Attachment(
            NAME, autoscaling_group_name=behind.nodes, lb_target_group_arn=targets.arn, opts=self._own
        )
        return targets, attached

    def _listen(
        self, balancer: aws.lb.LoadBalancer, targets: aws.lb.TargetGroup, guard: pulumi.Resource
    ) -> aws.lb.Listener:
        """Take requests by HTTPS; nothing listens where they would come in the clear."""
        chosen = self._args.settings
        asked = CertificateArgs(host=chosen.host, zone=chosen.zone, shared=chosen.latency)
        return aws.lb.Listener(
            NAME,
            load_balancer_arn=balancer.arn,
            port=HTTPS,
            protocol="HTTPS",
            ssl_policy=POLICIES[chosen.oldest_tls],
            certificate_arn=Certificate(NAME, asked, self._own).arn,
            default_actions=[aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=targets.arn)],
            # Whoever knows AWS' own name of the load balancer finds the firewall before it, too.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[guard]),
        )

    def _point(self, balancer: aws.lb.LoadBalancer, after: Sequence[pulumi.Resource]) -> aws.route53.Record:
        chosen, region = self._args.settings, self._args.behind.region
        nearest = [aws.route53.RecordLatencyRoutingPolicyArgs(region=region)]
        return aws.route53.Record(
            NAME,
            zone_id=chosen.zone,
            name=chosen.host,
            type="A",
            aliases=[
                aws.route53.RecordAliasArgs(
                    name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=True
                )
            ],
            set_identifier=region if chosen.latency else None,
            latency_routing_policies=nearest if chosen.latency else None,
            # No client is led here before it is answered, nor past the firewall.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
