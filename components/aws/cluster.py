"""EksCluster: a Kubernetes cluster whose API server only the network and named places reach."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws import auto_mode
from components.aws.logs import LogGroup, LogGroupArgs
from components.aws.roles import Role, RoleArgs, pod_trust, service_trust

ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
CONTROL_PLANE_LOGS = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
# Nodes need it before their first pod; the others are deployments, which need nodes.
BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
# Add-on → (service account, policy of AWS) of those that call AWS.
CALLERS = {
    "vpc-cni": ("aws-node", "AmazonEKS_CNI_Policy"),
    "aws-ebs-csi-driver": ("ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy"),
}
OPTIONS = {"vpc-cni": {"enableNetworkPolicy": "true"}}


@dataclass(frozen=True, kw_only=True)
class EksClusterArgs:
    """A cluster and who may use it."""

    region: str
    version: str
    subnets: list[pulumi.Output[str]]
    admins: tuple[str, ...]
    """Arns of the roles and users that may do everything in it; whom `pulumi up` runs as must be one."""
    api_from: tuple[str, ...]
    """Networks that reach the API server from the internet; none where empty."""
    log_days: int
    protect: bool
    auto: bool = False
    """Whether AWS makes nodes itself (EKS Auto Mode), for the NodePools that the cluster has."""


class EksCluster(pulumi.ComponentResource):
    """An EKS cluster: private, its Secrets under a key of its own, every log of its control plane kept."""

    cluster: aws.eks.Cluster
    kubeconfig: pulumi.Output[str]
    """Asks the AWS CLI for a token; holds no secret."""

    def __init__(self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:EksCluster", name, None, opts)
        self._name, self._args = name, args
        self._own = pulumi.ResourceOptions(parent=self)
        full = f"{pulumi.get_project()}-{pulumi.get_stack()}"
        logs = LogGroup(
            f"{name}-control-plane", LogGroupArgs(days=args.log_days, log_name=f"/aws/eks/{full}/cluster"), self._own
        )
        self.cluster = self._create_cluster(full, self._create_key(), logs)
        for number, admin in enumerate(args.admins):
            self._admit(f"{name}-admin-{number}", admin)
        self.kubeconfig = _kubeconfig(self.cluster, args.region)
        self.register_outputs({"name": self.cluster.name, "endpoint": self.cluster.endpoint})

    def _create_key(self) -> aws.kms.Key:
        return aws.kms.Key(
            f"{self._name}-secrets",
            description="Secrets of the Kubernetes cluster",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        )

    def _create_cluster(self, full: str, key: aws.kms.Key, logs: LogGroup) -> aws.eks.Cluster:
        args = self._args
        role = Role(
            self._name,
            RoleArgs(
                trust=service_trust("eks.amazonaws.com", tagged=args.auto),
                managed=("AmazonEKSClusterPolicy", *(auto_mode.POLICIES if args.auto else ())),
            ),
            self._own,
        )
        return aws.eks.Cluster(
            self._name,
            name=full,
            version=args.version,
            role_arn=role.arn,
            vpc_config=aws.eks.ClusterVpcConfigArgs(
                subnet_ids=args.subnets,
                endpoint_private_access=True,
                endpoint_public_access=bool(args.api_from),
                public_access_cidrs=list(args.api_from) or None,
            ),
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            encryption_config=aws.eks.ClusterEncryptionConfigArgs(
                resources=["secrets"], provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn)
            ),
            enabled_cluster_log_types=CONTROL_PLANE_LOGS,
            # The add-ons are resources of the stack; EKS would put its own in beside them.
            bootstrap_self_managed_addons=False,
            deletion_protection=args.protect,
            **(auto_mode.cluster() if args.auto else {}),
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            # EKS makes the group of the logs itself where it finds none, and keeps them for ever.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs], protect=args.protect),
        )

    def _admit(self, name: str, principal: str) -> None:
        entry = aws.eks.AccessEntry(
            name, cluster_name=self.cluster.name, principal_arn=principal, type="STANDARD", opts=self._own
        )
        aws.eks.AccessPolicyAssociation(
            name,
            cluster_name=self.cluster.name,
            principal_arn=principal,
            policy_arn=ADMIN,
            access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[entry]),
        )

    def add(self, name: str, version: str, after: list[pulumi.Resource]) -> aws.eks.Addon:
        """Return the add-on `name`, which calls AWS as a role of its own where it does so."""
        full = f"{self._name}-{name}"
        associations = None
        if name in CALLERS:
            account, policy = CALLERS[name]
            role = Role(full, RoleArgs(trust=pod_trust(), managed=(policy,)), self._own)
            associations = [aws.eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)]
        return aws.eks.Addon(
            full,
            cluster_name=self.cluster.name,
            addon_name=name,
            addon_version=version,
            configuration_values=pulumi.Output.json_dumps(OPTIONS[name]) if name in OPTIONS else None,
            pod_identity_associations=associations,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="PRESERVE",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )


def _kubeconfig(cluster: aws.eks.Cluster, region: str) -> pulumi.Output[str]:
    name = cluster.name
    authority = cluster.certificate_authority.apply(lambda found: found.data)
    asked = ["eks", "get-token", "--output", "json", "--region", region, "--cluster-name", name]
    login = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": asked}
    return pulumi.Output.json_dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": name, "cluster": {"server": cluster.endpoint, "certificate-authority-data": authority}}
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
            "users": [{"name": name, "user": {"exec": {**login, "interactiveMode": "Never"}}}],
        }
    )
