"""Ground: what a stack stands on in AWS, from its network to nodes and repositories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.budget import Budget, BudgetArgs
from components.aws.cluster import BEFORE_NODES, EksCluster, EksClusterArgs
from components.aws.network import Network, NetworkArgs
from components.aws.nodes import NodeGroup, NodeGroupArgs, node_role
from components.aws.repositories import Repositories, RepositoriesArgs
from components.aws.roles import Role
from settings import AwsSettings, NodesSettings

STACK_TAG = "modelstack.dev/stack"


@dataclass(frozen=True, kw_only=True)
class GroundArgs:
    """Settings of the stack, and the repositories that its images need."""

    settings: AwsSettings
    repositories: Mapping[str, str]
    """Model → repository."""
    protect: bool


class Ground(pulumi.ComponentResource):
    """Network, cluster, nodes and repositories, in one account and region."""

    kubeconfig: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """What pods need before they can run."""
    repositories: dict[str, pulumi.Resource]
    """Model → the repository that it is pushed to."""

    def __init__(self, name: str, args: GroundArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Ground", name, None, opts)
        chosen = args.settings
        provider = self._create_provider(name, chosen)
        self._own = pulumi.ResourceOptions(parent=self, providers=[provider])
        network = Network("network", _network(chosen), self._own)
        cluster = EksCluster("eks", _cluster(chosen, network, args.protect), self._own)
        self.kubeconfig = cluster.kubeconfig
        self.ready = self._fill(cluster, network, chosen)
        self.repositories = self._create_repositories(args) if args.repositories else {}
        if chosen.budget:
            Budget("budget", BudgetArgs(settings=chosen.budget, tags=_tags(), watched=STACK_TAG), self._own)
        self.register_outputs({"cluster": cluster.cluster.name, "network": network.vpc.id})

    def _create_provider(self, name: str, chosen: AwsSettings) -> aws.Provider:
        return aws.Provider(
            name,
            region=chosen.region,
            # Credentials of another account make nothing and remove nothing.
            allowed_account_ids=[chosen.account],
            default_tags=aws.ProviderDefaultTagsArgs(tags=_tags()),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_repositories(self, args: GroundArgs) -> dict[str, pulumi.Resource]:
        """Return model → repository; none, and no key for them, where the stack pushes elsewhere."""
        wanted = RepositoriesArgs(names=tuple(args.repositories.values()), protect=args.protect)
        made = Repositories("repositories", wanted, self._own).made
        return {model: made[repository] for model, repository in args.repositories.items()}

    def _fill(self, cluster: EksCluster, network: Network, chosen: AwsSettings) -> list[pulumi.Resource]:
        """Bring up nodes between the add-ons that they need and those that need them; returns what pods wait for."""
        early: list[pulumi.Resource] = [
            cluster.add(name, version, []) for name, version in chosen.addons.items() if name in BEFORE_NODES
        ]
        shared = Shared(cluster.cluster, node_role("nodes", self._own), network.private)
        own = pulumi.ResourceOptions.merge(self._own, pulumi.ResourceOptions(depends_on=early))
        nodes: list[pulumi.Resource] = [
            NodeGroup("system", shared.nodes(chosen.system, system=True), own),
            NodeGroup("workers", shared.nodes(chosen.workers), own),
        ]
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


def _tags() -> dict[str, str]:
    """Return what every resource of the stack bears."""
    return {"modelstack.dev/project": pulumi.get_project(), STACK_TAG: pulumi.get_stack()}


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
    )
