"""PodLogs: Fluent Bit on every node, which sends the lines of the stack's pods to CloudWatch."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from components import fluent_bit, network
from components.aws.bucket import Bucket, BucketArgs
from components.aws.logs import LogGroup, LogGroupArgs
from components.aws.roles import Allowed, Role, RoleArgs, pod_trust
from components.fingerprint import fingerprint
from components.fluent_bit import NAME, PORT, STATE, Sent
from components.labels import OWN, Labels
from components.pods import container_security, http_probe, quantities
from components.site import Site
from settings import PodLogsSettings, Resources

RESOURCES = Resources(cpu_request="50m", cpu_limit="500m", memory_request="64Mi", memory_limit="256Mi")
# Where the agent of Pod Identity answers on each node.
IDENTITY = "169.254.170.23/32"
FOLDER = "/etc/fluent-bit"


@dataclass(frozen=True, kw_only=True)
class PodLogsArgs:
    """Whose lines, and where they go."""

    settings: PodLogsSettings
    image: pulumi.Input[str]
    """Fluent Bit, by digest."""
    site: Site
    cluster: pulumi.Input[str]
    """Name of the cluster in EKS."""
    region: str
    days: int
    """Days that a line is kept in CloudWatch."""
    protect: bool


class PodLogs(pulumi.ComponentResource):
    """Fluent Bit, in a namespace of its own since it reads the nodes' files; it writes to this stack's logs alone."""

    def __init__(self, name: str, args: PodLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:PodLogs", name, None, opts)
        self._name, self._args, self._labels = name, args, Labels(NAME, args.site.stack)
        self._own = pulumi.ResourceOptions(parent=self)
        group = LogGroup(name, LogGroupArgs(days=args.days), self._own)
        bucket = self._create_bucket()
        namespace = self._create_namespace()
        self._own_place = Site(
            namespace=namespace, stack=args.site.stack, exposure=args.site.exposure, access=args.site.access
        )
        self._close()
        account, identity = self._create_identity(namespace, group, bucket)
        self._create_agent(self._create_config(group, bucket), [account, identity])
        self.register_outputs({"group": group.log_name})

    def _create_bucket(self) -> Bucket | None:
        days = self._args.settings.archive_days
        if not days:
            return None
        return Bucket(self._name, BucketArgs(days=days, protect=self._args.protect), self._own)

    def _create_namespace(self) -> pulumi.Output[str]:
        modes = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "warn", "audit")}
        made = k8s.core.v1.Namespace(
            self._name,
            metadata={
                "name": pulumi.Output.concat(self._args.site.namespace, "-logs"),
                "labels": {**self._labels.metadata, **modes},
            },
            opts=self._own,
        )
        return made.metadata.name

    def _close(self) -> None:
        place = self._own_place
        k8s.networking.v1.NetworkPolicy(
            f"{self._name}-default-deny",
            metadata={"name": "default-deny", "namespace": place.namespace, "labels": self._labels.metadata},
            spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
            opts=self._own,
        )
        identity: network.Egress = {
            "to": [{"ip_block": {"cidr": IDENTITY}}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
        # CloudWatch by the network's endpoint, S3 by addresses that AWS alone knows.
        services: network.Egress = {"ports": [{"port": 443, "protocol": "TCP"}]}
        network.allow(self._labels, place, self._own, egress=[network.names(), identity, services])

    def _create_identity(
        self, namespace: pulumi.Output[str], group: LogGroup, bucket: Bucket | None
    ) -> tuple[pulumi.Resource, pulumi.Resource]:
        account = k8s.core.v1.ServiceAccount(
            NAME, metadata=self._metadata(NAME), automount_service_account_token=False, opts=self._own
        )
        allowed: dict[str, Allowed] = {"logs": (("logs:CreateLogStream", "logs:PutLogEvents"), group.streams)}
        if bucket:
            allowed["archive"] = (("s3:PutObject",), pulumi.Output.concat(bucket.bucket.arn, "/pods/*"))
        role = Role(self._name, RoleArgs(trust=pod_trust(), allowed=allowed), self._own)
        identity = aws.eks.PodIdentityAssociation(
            self._name,
            cluster_name=self._args.cluster,
            namespace=namespace,
            service_account=NAME,
            role_arn=role.arn,
            opts=self._own,
        )
        return account, identity

    def _create_config(self, group: LogGroup, bucket: Bucket | None) -> pulumi.Output[str]:
        sent = Sent(
            namespace=self._args.site.namespace,
            region=self._args.region,
            group=group.log_name,
            bucket=bucket.bucket.bucket if bucket else None,
        )
        # Every JSON is YAML, which Fluent Bit reads.
        config = pulumi.Output.json_dumps(fluent_bit.configuration(sent), indent=1)
        k8s.core.v1.ConfigMap(NAME, metadata=self._metadata(NAME), data={fluent_bit.FILE: config}, opts=self._own)
        return config

    def _create_agent(self, config: pulumi.Output[str], after: list[pulumi.Resource]) -> None:
        read = config.apply(lambda text: fingerprint([text]))
        k8s.apps.v1.DaemonSet(
            NAME,
            metadata=self._metadata(NAME),
            spec={
                "selector": {"match_labels": self._labels.selector},
                "update_strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 1}},
                "template": {
                    "metadata": {"labels": self._labels.metadata, "annotations": {f"{OWN}/config": read}},
                    "spec": self._pod(),
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _pod(self) -> k8s.core.v1.PodSpecArgsDict:
        return {
            "service_account_name": NAME,
            "automount_service_account_token": False,
            "enable_service_links": False,
            # Models run on every kind of node, and so does what reads their lines.
            "tolerations": [{"operator": "Exists"}],
            # The nodes' files are root's, and are read as such, with none of root's other rights.
            "security_context": {"run_as_user": 0, "seccomp_profile": {"type": "RuntimeDefault"}},
            "containers": [self._container()],
            "volumes": [
                {"name": "config", "config_map": {"name": NAME}},
                {"name": "logs", "host_path": {"path": "/var/log"}},
                # What was sent is known after the agent's end; what it had read and not yet written may come twice.
                {"name": "state", "host_path": {"path": "/var/lib/fluent-bit", "type": "DirectoryOrCreate"}},
            ],
        }

    def _container(self) -> k8s.core.v1.ContainerArgsDict:
        return {
            "name": NAME,
            "image": self._args.image,
            "args": ["-c", f"{FOLDER}/{fluent_bit.FILE}"],
            "ports": [{"name": "http", "container_port": PORT}],
            "resources": quantities(RESOURCES),
            "security_context": container_security(),
            "volume_mounts": [
                {"name": "config", "mount_path": FOLDER, "read_only": True},
                {"name": "logs", "mount_path": "/var/log", "read_only": True},
                {"name": "state", "mount_path": STATE},
            ],
            # What AWS refuses makes it unwell, but a new start would help nobody.
            "readiness_probe": http_probe("/api/v1/health", period=10, failures=3),
            "liveness_probe": http_probe("/", period=10, failures=6),
        }

    def _metadata(self, name: str) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": name, "namespace": self._own_place.namespace, "labels": self._labels.metadata}
