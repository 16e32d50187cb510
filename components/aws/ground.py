"""Ground: what a stack stands on in AWS, from its network to nodes and repositories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.account_registry import AccountRegistry, AccountRegistryArgs, pulls
from components.aws.audit import Audit, AuditArgs
from components.aws.backup import Backup, BackupArgs, mark
from components.aws.budget import Budget, BudgetArgs
from components.aws.cluster import BEFORE_NODES, EksCluster, EksClusterArgs
from components.aws.external_secrets import ExternalSecrets, ExternalSecretsArgs
from components.aws.front_door import Behind, FrontDoor, FrontDoorArgs
from components.aws.network import Network, NetworkArgs
from components.aws.nodes import NodeGroup, NodeGroupArgs, node_role
from components.aws.pod_logs import PodLogs, PodLogsArgs
from components.aws.pools import PoolGround
from components.aws.repositories import Repositories, RepositoriesArgs
from components.aws.roles import Role
from components.aws.tags import STACK_TAG, tags
from components.aws.volumes import volumes
from components.registry import Registry
from components.site import Site
from settings import AwsSettings, EcrSettings, GatewaySettings, NodesSettings


@dataclass(frozen=True, kw_only=True)
class GroundArgs:
    """Settings of the stack, and the repositories that its images need."""

    settings: AwsSettings
    repositories: Mapping[str, str]
    """Model → repository."""
    prefix: str
    """What the repositories' names begin with."""
    protect: bool


class Ground(pulumi.ComponentResource):
    """Network, cluster, nodes and repositories, in one account and region."""

    kubeconfig: pulumi.Output[str]
    provider: aws.Provider
    ready: list[pulumi.Resource]
    """What pods need before they can run."""
    repositories: dict[str, pulumi.Resource]
    """Model → the repository that it is pushed to."""
    pools: PoolGround
    """What pools of nodes with GPUs stand on."""

    def __init__(self, name: str, args: GroundArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Ground", name, None, opts)
        chosen = args.settings
        self.provider = self._create_provider(name, chosen)
        self._own = pulumi.ResourceOptions(parent=self, providers=[self.provider])
        network = Network("network", _network(chosen), self._own)
        cluster = EksCluster("eks", _cluster(chosen, network, args.protect), self._own)
        self.kubeconfig, self._cluster = cluster.kubeconfig, cluster.cluster.name
        self.ready = self._fill(cluster, network, chosen)
        self._chosen, self._network, self._guarded = chosen, network, args.protect
        self.repositories = self._create_repositories(args) if args.repositories else {}
        self._keep(args)
        self.register_outputs({"cluster": cluster.cluster.name, "network": network.vpc.id})

    def open_door(
        self,
        site: Site,
        gateway: GatewaySettings,
        models: Sequence[str],
        leads_to: pulumi.Resource,
        cluster: pulumi.ProviderResource,
    ) -> FrontDoor | None:
        """Return the front door that leads to a gateway; None where the settings name none."""
        if self._chosen.front_door is None:
            return None
        args = FrontDoorArgs(
            settings=self._chosen.front_door,
            gateway=gateway,
            models=models,
            behind=self._stand_behind(self._chosen),
            site=site,
            after=[leads_to, *self.ready],
        )
        return FrontDoor("front-door", args, pulumi.ResourceOptions(providers=[self.provider, cluster]))

    def equip(self, site: Site, cluster: pulumi.ProviderResource, registry: Registry) -> Mapping[str, pulumi.Resource]:
        """Put into the cluster what the settings of AWS ask for there; returns Secret → what brings it."""
        secrets: Mapping[str, pulumi.Resource] = {}
        chosen, within = self._chosen, pulumi.ResourceOptions(providers=[self.provider, cluster])
        if chosen.backup:
            volumes(mark(), pulumi.ResourceOptions(provider=cluster, depends_on=self.ready))
        if chosen.secrets:
            read = ExternalSecretsArgs(settings=chosen.secrets, site=site, region=chosen.region, account=chosen.account)
            secrets = ExternalSecrets("external-secrets", read, within).made
        if chosen.pod_logs:
            sent = PodLogsArgs(
                settings=chosen.pod_logs,
                image=registry.by_digest("fluent-bit", chosen.pod_logs.image),
                site=site,
                cluster=self._cluster,
                region=chosen.region,
                days=chosen.log_days,
                protect=self._guarded,
            )
            PodLogs("pod-logs", sent, within)
        return secrets

    def _stand_behind(self, chosen: AwsSettings) -> Behind:
        return Behind(
            account=chosen.account,
            region=chosen.region,
            vpc=self._network.vpc.id,
            cidr=chosen.cidr,
            public=self._network.public,
            private=self._network.private,
            nodes=self._workers.autoscaling,
            nodes_group=self.pools.security_group,
            log_days=chosen.log_days,
            protect=self._guarded,
        )

    def _create_provider(self, name: str, chosen: AwsSettings) -> aws.Provider:
        return aws.Provider(
            name,
            region=chosen.region,
            # Credentials of another account make nothing and remove nothing.
            allowed_account_ids=[chosen.account],
            default_tags=aws.ProviderDefaultTagsArgs(tags=tags()),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_repositories(self, args: GroundArgs) -> dict[str, pulumi.Resource]:
        """Return model → repository; none, and no key for them, where the stack pushes elsewhere."""
        wanted = RepositoriesArgs(names=tuple(args.repositories.values()), protect=args.protect)
        made = Repositories("repositories", wanted, self._own).made
        return {model: made[repository] for model, repository in args.repositories.items()}

    def _keep(self, args: GroundArgs) -> None:
        """Make what settings ask to be kept and watched, and what of ECR is the account's."""
        chosen = args.settings
        kept_by = mark() if chosen.backup else {}
        if chosen.audit:
            kept = AuditArgs(
                account=chosen.account, region=chosen.region, days=chosen.audit.days, protect=args.protect, tags=kept_by
            )
            Audit("audit", kept, self._own)
        if chosen.backup:
            copied = BackupArgs(settings=chosen.backup, account=chosen.account, protect=args.protect)
            Backup("backup", copied, self._own)
        if chosen.budget:
            Budget("budget", BudgetArgs(settings=chosen.budget, tags=tags(), watched=STACK_TAG), self._own)
        if chosen.ecr != EcrSettings():
            of_account = AccountRegistryArgs(settings=chosen.ecr, account=chosen.account, prefix=args.prefix)
            AccountRegistry("registry", of_account, self._own)

    def _fill(self, cluster: EksCluster, network: Network, chosen: AwsSettings) -> list[pulumi.Resource]:
        """Bring up nodes between the add-ons that they need and those that need them; returns what pods wait for."""
        early: list[pulumi.Resource] = [
            cluster.add(name, version, []) for name, version in chosen.addons.items() if name in BEFORE_NODES
        ]
        allowed = pulls(chosen.ecr, chosen.region, chosen.account)
        shared = Shared(cluster.cluster, node_role("nodes", self._own, allowed), network.private)
        self.pools = PoolGround(cluster=cluster.cluster, subnets=network.private, role=shared.role.arn, allowed=allowed)
        own = pulumi.ResourceOptions.merge(self._own, pulumi.ResourceOptions(depends_on=early))
        self._workers = NodeGroup("workers", shared.nodes(chosen.workers), own)
        system = NodeGroup("system", shared.nodes(chosen.system, system=True), own)
        nodes: list[pulumi.Resource] = [system, self._workers]
        late = [
            cluster.add(name, version, nodes) for name, version in chosen.addons.items() if name not in BEFORE_NODES
        ]
        return [*nodes, *late]


@dataclass(frozen=True)
class Shared:
    """What all nodes of a cluster have in common."""

    cluster: aws.eks.Cluster
    role: Role
    subnets: list[pulumi.Output[str]]

    def nodes(self, chosen: NodesSettings, *, system: bool = False) -> NodeGroupArgs:
        """Return what makes nodes of one kind."""
        return NodeGroupArgs(
            cluster=self.cluster.name,
            version=self.cluster.version,
            role=self.role.arn,
            subnets=self.subnets,
            types=chosen.types,
            least=chosen.min,
            most=chosen.max,
            disk=chosen.disk,
            system=system,
        )


def _network(chosen: AwsSettings) -> NetworkArgs:
    return NetworkArgs(
        region=chosen.region,
        cidr=chosen.cidr,
        zones=chosen.zones,
        gateway_a_zone=chosen.nat == "zone",
        log_days=chosen.log_days,
    )


def _cluster(chosen: AwsSettings, network: Network, protect: bool) -> EksClusterArgs:
    return EksClusterArgs(
        region=chosen.region,
        version=chosen.version,
        subnets=network.private,
        admins=chosen.admins,
        api_from=chosen.api_from,
        log_days=chosen.log_days,
        protect=protect,
        auto=chosen.auto_mode,
    )
