"""What roles may do: what their work needs, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy.exposure import statements
from policy.node import Node
from policy.rule import Facts, Finding, Resource, Rule, bad

# Type → where policies by ARN lie, and where documents lie.
ARNS: Mapping[str, tuple[str, ...]] = {
    "aws:iam/role:Role": ("managedPolicyArns",),
    "aws:iam/policyAttachment:PolicyAttachment": ("policyArn",),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ("policyArn",),
    "aws:iam/userPolicyAttachment:UserPolicyAttachment": ("policyArn",),
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment": ("policyArn",),
    "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive": ("policyArns",),
    "aws:ssoadmin/managedPolicyAttachment:ManagedPolicyAttachment": ("managedPolicyArn",),
}
DOCUMENTS = (
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
)
BROAD = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")
NEEDED = "list the actions that are needed, as ecr:BatchGetImage"


def no_broad_permissions(resource: Resource, _facts: Facts) -> Iterator[Finding]:
    """Find policies that allow more than anyone has listed."""
    for key in ARNS.get(resource.type, ()):
        found = resource.at(key)
        for arn in found.each() or [found]:
            name = arn.text.rpartition("/")[2]
            if name in BROAD or name.endswith("FullAccess") or "FullAccess_" in name:
                yield bad(arn, "attach a policy of the actions that are needed", "allows everything of its services")
    for document in _documents(resource):
        yield from _wild(document)


def _documents(resource: Resource) -> Iterator[Node]:
    if resource.type in DOCUMENTS:
        yield resource.at("policy")
    if resource.type == "aws:iam/role:Role":
        yield from (one.at("policy") for one in resource.at("inlinePolicies").each())


def _wild(document: Node) -> Iterator[Finding]:
    for index, statement in enumerate(statements(document)):
        if statement.get("Effect") != "Allow":
            continue
        place = f"{document.path}.Statement[{index}]"
        if "NotAction" in statement:
            yield Finding(f"{place}.NotAction", "allows whatever is not named", NEEDED)
        given = statement.get("Action", [])
        for action in given if isinstance(given, list) else [given]:
            if "*" in str(action) or "?" in str(action):
                yield Finding(f"{place}.Action", f"{action!r} is a wildcard", NEEDED)


RULES = (
    Rule(
        "no-broad-permissions",
        "Roles are allowed actions by name, neither a *FullAccess policy nor a wildcard",
        "mandatory",
        no_broad_permissions,
    ),
)
