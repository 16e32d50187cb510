"""What a stack may cost, where it need not, and where saving is dear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cost.bill import bill
from cost.kinds import NODE_GROUP
from cost.lines import Declared
from policy.node import Node
from policy.rule import Facts, Finding, Resource, Rule, StackRule

NAT = "aws:ec2/natGateway:NatGateway"
STACK = "pulumi:pulumi:Stack"
CAPACITY = "karpenter.sh/capacity-type"


def limited(resources: Sequence[Resource], facts: Facts) -> Iterator[Finding]:
    """Find a stack above what it may cost."""
    limit = facts.policies.cost.limit if facts.policies.cost else None
    if limit is None:
        return
    found = bill([Declared(one.type, one.name, one.properties.value) for one in resources], facts.prices)
    told = _told(resources)
    money = found.money if told is None else told
    if money > limit:
        dearest = sorted(found.lines, key=lambda line: -line.money)[:3]
        parts = ", ".join(f"{line.resource.name} {line.money:.2f}" for line in dearest if line.money)
        problem = f"{money:.2f} a month is above {limit:.2f} ({parts})"
        yield Finding("modelstack:policies.cost.limit", problem, "lower replicas or requests, or raise the limit")


def _told(resources: Sequence[Resource]) -> float | None:
    """Return what the stack's own output says: a preview knows more of inputs, which the program counts, than of
    outputs, which are seen here.
    """
    return next((one.at("cost", "monthly").number for one in resources if one.type == STACK), None)


def spot(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find nodes outside production that could cost a third."""
    if facts.prod:
        return
    if resource.type == NODE_GROUP:
        kind = resource.at("capacityType")
        if kind.is_other_than("SPOT"):
            yield Finding(kind.path, kind.shown, "set SPOT; what may be gone for a minute need not be on demand")
    elif resource.type.startswith("kubernetes:karpenter.sh/") and resource.kind == "NodePool":
        yield from _node_pool(resource.at("spec", "template", "spec", "requirements"))


def _node_pool(requirements: Node) -> Iterator[Finding]:
    asked = [one.at("values") for one in requirements.each() if one.at("key").value == CAPACITY]
    if requirements.absent or (requirements.known and not asked):
        yield Finding(
            requirements.path, f"says nothing of {CAPACITY}", "add {key, operator: In, values: [spot, on-demand]}"
        )
    for values in asked:
        if values.known and "spot" not in values.value:
            yield Finding(values.path, values.shown, "add spot")


def nat_per_zone(resources: Sequence[Resource], facts: Facts) -> Iterator[Finding]:
    """Find a production that one zone's end cuts off."""
    gateways = [one for one in resources if one.type == NAT]
    if facts.prod and len(gateways) == 1:
        problem = "is the only NAT gateway: with its zone the nodes of every zone lose their way out"
        yield Finding("subnetId", problem, "add one a zone", gateways[0])


RULES = (Rule("spot-outside-prod", "Nodes outside prod are spot instances", "advisory", spot),)
STACK_RULES = (
    StackRule("cost-limit", "A stack costs no more than its settings say", "advisory", limited),
    StackRule("nat-per-zone-in-prod", "In prod each zone has a NAT gateway", "advisory", nat_per_zone),
)
