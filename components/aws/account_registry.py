"""AccountRegistry: what ECR has one of in an account and region, beside the repositories of its stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws import repositories
from settings import EcrSettings


@dataclass(frozen=True, kw_only=True)
class AccountRegistryArgs:
    """What is set, and of which repositories."""

    settings: EcrSettings
    account: str
    prefix: str
    """What the names of the stack's repositories begin with."""


class AccountRegistry(pulumi.ComponentResource):
    """Scanning, copies of other registries' images, and copies in other regions: one stack of an account has it."""

    def __init__(self, name: str, args: AccountRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:AccountRegistry", name, None, opts)
        self._name, self._args, self._own = name, args, pulumi.ResourceOptions(parent=self)
        if args.settings.scanning == "enhanced":
            self._scan()
        for prefix, upstream in args.settings.pull_through.items():
            aws.ecr.PullThroughCacheRule(
                prefix,
                ecr_repository_prefix=prefix,
                upstream_registry_url=upstream.registry,
                credential_arn=upstream.secret,
                opts=self._own,
            )
        if args.settings.replicate_to:
            self._replicate(args.settings.replicate_to)
        self.register_outputs({})

    def _scan(self) -> None:
        """Scan again whenever a flaw becomes known; others' repositories, which no rule would leave out, on push."""
        rules = [
            aws.ecr.RegistryScanningConfigurationRuleArgs(
                scan_frequency=how,
                repository_filters=[
                    aws.ecr.RegistryScanningConfigurationRuleRepositoryFilterArgs(filter=of, filter_type="WILDCARD")
                ],
            )
            for how, of in (("CONTINUOUS_SCAN", f"{self._args.prefix}/*"), ("SCAN_ON_PUSH", "*"))
        ]
        aws.ecr.RegistryScanningConfiguration(self._name, scan_type="ENHANCED", rules=rules, opts=self._own)

    def _replicate(self, regions: Sequence[str]) -> None:
        after = [self._expect(region) for region in regions]
        rule = aws.ecr.ReplicationConfigurationReplicationConfigurationRuleArgs(
            destinations=[
                aws.ecr.ReplicationConfigurationReplicationConfigurationRuleDestinationArgs(
                    region=region, registry_id=self._args.account
                )
                for region in regions
            ],
            repository_filters=[
                aws.ecr.ReplicationConfigurationReplicationConfigurationRuleRepositoryFilterArgs(
                    filter=f"{self._args.prefix}/", filter_type="PREFIX_MATCH"
                )
            ],
        )
        aws.ecr.ReplicationConfiguration(
            self._name,
            replication_configuration=aws.ecr.ReplicationConfigurationReplicationConfigurationArgs(rules=[rule]),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _expect(self, region: str) -> aws.ecr.RepositoryCreationTemplate:
        """Say what the repositories are like that replication makes: tags move as little, and what has none goes."""
        filters = [
            aws.ecr.RepositoryCreationTemplateImageTagMutabilityExclusionFilterArgs(filter=one, filter_type="WILDCARD")
            for one in repositories.MOVING
        ]
        return aws.ecr.RepositoryCreationTemplate(
            f"{self._name}-{region}",
            region=region,
            prefix=self._args.prefix,
            description="copies of images of another region",
            applied_fors=["REPLICATION"],
            image_tag_mutability="IMMUTABLE_WITH_EXCLUSION",
            image_tag_mutability_exclusion_filters=filters,
            lifecycle_policy=repositories.lifecycle(),
            opts=self._own,
        )


def pulls(settings: EcrSettings, region: str, account: str) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Return what nodes may do beside pulling: make the repository that a copy is put into, by its prefix."""
    arns = [f"arn:aws:ecr:{region}:{account}:repository/{prefix}/*" for prefix in settings.pull_through]
    return {"pull-through": (("ecr:CreateRepository", "ecr:BatchImportUpstreamImage"), arns)} if arns else {}
