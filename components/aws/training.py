"""TrainingAccess: what the pods of one training may do in AWS, and no other pod."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.roles import Allowed, Role, RoleArgs, pod_trust

PUSH = (
    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
    *("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingAccessArgs:
    """Whose pods, and on what."""

    cluster: pulumi.Input[str]
    namespace: str
    account: str
    """The pods' service account."""
    data: tuple[str, str] | None
    """Bucket and prefix that they read."""
    repository: pulumi.Input[str] | None
    """Arn of the repository that they push to, where it is the stack's own."""


class TrainingAccess(pulumi.ComponentResource):
    """A role by EKS Pod Identity: reads one prefix, pushes to one repository."""

    association: aws.eks.PodIdentityAssociation

    def __init__(self, name: str, args: TrainingAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:TrainingAccess", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        role = Role(name, RoleArgs(trust=pod_trust(), allowed=_allowed(args)), own)
        self.association = aws.eks.PodIdentityAssociation(
            name,
            cluster_name=args.cluster,
            namespace=args.namespace,
            service_account=args.account,
            role_arn=role.arn,
            opts=own,
        )
        self.register_outputs({})


def _allowed(args: TrainingAccessArgs) -> dict[str, Allowed]:
    found: dict[str, Allowed] = {}
    if args.data is not None:
        bucket, prefix = args.data
        found["data"] = (("s3:GetObject",), f"arn:aws:s3:::{bucket}/{prefix}/*")
    if args.repository is not None:
        found["push"] = (PUSH, args.repository)
        # A token is of the account: AWS knows no narrower resource for this action.
        found["login"] = (("ecr:GetAuthorizationToken",), "*")
    return found
