"""Repositories: where a stack's images lie in ECR, one repository a model."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

# Tags that move: a stack's hold on an image, and the listings of what is attached to one.
MOVING = ("stack-*", "sha256-*")
UNTAGGED_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class RepositoriesArgs:
    """Names of the repositories, whole."""

    names: tuple[str, ...]
    protect: bool


class Repositories(pulumi.ComponentResource):
    """ECR repositories under a key of their own; tags that name inputs never move, and what is held never expires."""

    made: dict[str, aws.ecr.Repository]

    def __init__(self, name: str, args: RepositoriesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Repositories", name, None, opts)
        self._protect = args.protect
        key = aws.kms.Key(
            name,
            description="Images in ECR",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            # Images that outlive the stack are read by this key.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=True),
        )
        self.made = {one: self._create(one, key) for one in args.names}
        self.register_outputs({"names": list(args.names)})

    def _create(self, name: str, key: aws.kms.Key) -> aws.ecr.Repository:
        repository = aws.ecr.Repository(
            name,
            name=name,
            image_tag_mutability="IMMUTABLE_WITH_EXCLUSION",
            image_tag_mutability_exclusion_filters=[
                aws.ecr.RepositoryImageTagMutabilityExclusionFilterArgs(filter=one, filter_type="WILDCARD")
                for one in MOVING
            ],
            encryption_configurations=[
                aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=key.arn)
            ],
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            opts=pulumi.ResourceOptions(parent=self, protect=self._protect, retain_on_delete=True),
        )
        aws.ecr.LifecyclePolicy(
            name, repository=repository.name, policy=lifecycle(), opts=pulumi.ResourceOptions(parent=self)
        )
        return repository


def lifecycle() -> str:
    """Return the rule by which images go: what a stack runs has its tag, so that only what has none is old."""
    rule = {
        "rulePriority": 1,
        "description": f"what no tag names goes after {UNTAGGED_DAYS} days",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": UNTAGGED_DAYS,
        },
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})
