"""Role: who may take it, and exactly what it then may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

VERSION = "2012-10-17"
POLICIES = "arn:aws:iam::aws:policy"
Allowed = tuple[Sequence[str], pulumi.Input[str] | Sequence[pulumi.Input[str]]]


def service_trust(*services: str, tagged: bool = False, account: str | None = None) -> dict[str, Any]:
    """Return the trust policy of a role that services of AWS take: `tagged` where they say for whom, and for whom
    alone where an account is named.
    """
    actions = ["sts:AssumeRole", "sts:TagSession"] if tagged else "sts:AssumeRole"
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": actions}
    if account:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return {"Version": VERSION, "Statement": [statement]}


def pod_trust() -> dict[str, Any]:
    """Return the trust policy of a role that pods take by EKS Pod Identity."""
    principal = {"Service": "pods.eks.amazonaws.com"}
    actions = ["sts:AssumeRole", "sts:TagSession"]
    return {"Version": VERSION, "Statement": [{"Effect": "Allow", "Principal": principal, "Action": actions}]}


def role_trust(arn: str) -> dict[str, Any]:
    """Return the trust policy of a role that another role takes."""
    actions = ["sts:AssumeRole", "sts:TagSession"]
    return {"Version": VERSION, "Statement": [{"Effect": "Allow", "Principal": {"AWS": arn}, "Action": actions}]}


@dataclass(frozen=True, kw_only=True)
class RoleArgs:
    """What makes a role."""

    trust: Mapping[str, Any]
    managed: tuple[str, ...] = ()
    """Names of policies that AWS keeps."""
    allowed: Mapping[str, Allowed] = field(default_factory=dict)
    """Name → (actions, resources) of a policy in the role itself."""
    statements: Mapping[str, pulumi.Input[Sequence[Mapping[str, Any]]]] = field(default_factory=dict)
    """Name → statements of a policy in the role itself, for what holds under conditions."""


class Role(pulumi.ComponentResource):
    """An IAM role with its policies."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]

    def __init__(self, name: str, args: RoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Role", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(name, assume_role_policy=pulumi.Output.json_dumps(args.trust), opts=own)
        attached: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy.rpartition('/')[2]}", role=role.name, policy_arn=f"{POLICIES}/{policy}", opts=own
            )
            for policy in args.managed
        ]
        attached += [
            aws.iam.RolePolicy(f"{name}-{key}", role=role.id, policy=_document(*allowed), opts=own)
            for key, allowed in args.allowed.items()
        ]
        attached += [
            aws.iam.RolePolicy(f"{name}-{key}", role=role.id, policy=_policy(statements), opts=own)
            for key, statements in args.statements.items()
        ]
        # Whoever takes the role needs its policies: the arn is told when they are there.
        self.arn = pulumi.Output.all(role.arn, *(one.urn for one in attached)).apply(lambda found: str(found[0]))
        self.name = pulumi.Output.all(role.name, *(one.urn for one in attached)).apply(lambda found: str(found[0]))
        self.register_outputs({"arn": self.arn})


def _document(actions: Sequence[str], resources: pulumi.Input[str] | Sequence[pulumi.Input[str]]) -> pulumi.Output[str]:
    return _policy([{"Effect": "Allow", "Action": list(actions), "Resource": resources}])


def _policy(statements: pulumi.Input[Sequence[Mapping[str, Any]]]) -> pulumi.Output[str]:
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": statements})
