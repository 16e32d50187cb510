"""What a stack costs, where it need not, and where saving is dear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policy.node import Node
from policy.pods import pods_of
from policy.rule import Facts, Finding, Resource, Rule, StackRule

NAT = "aws:ec2/natGateway:NatGateway"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
CAPACITY = "karpenter.sh/capacity-type"
GIB = 2**30
# Type → where its instance type lies.
SIZED: Mapping[str, str] = {
    "aws:ec2/instance:Instance": "instanceType",
    "aws:rds/instance:Instance": "instanceClass",
    "aws:rds/clusterInstance:ClusterInstance": "instanceClass",
    "aws:elasticache/replicationGroup:ReplicationGroup": "nodeType",
}


def monthly(resource: Resource, prices: Mapping[str, float]) -> float:
    """Return what a resource costs a month at these prices; 0 where none is of it, or where it is not known yet."""
    found = prices.get(resource.type, 0.0)
    if resource.type in SIZED:
        found += prices.get(resource.at(SIZED[resource.type]).text, 0.0) * _nodes(resource)
    if resource.type == NODE_GROUP:
        first = next(iter(resource.at("instanceTypes").each()), Node(None))
        found += prices.get(first.text, 0.0) * (resource.at("scalingConfig", "desiredSize").number or 0)
    return found + _pods(resource, prices) + _claims(resource, prices)


def _nodes(resource: Resource) -> float:
    return resource.at("numCacheClusters").number or 1


def _pods(resource: Resource, prices: Mapping[str, float]) -> float:
    if resource.type.startswith("modelstack:"):
        return 0.0
    whole = sum(_requests(one, prices) for pods in pods_of(resource) if pods.lasting for one in pods.own)
    return whole * _replicas(resource)


def _requests(container: Node, prices: Mapping[str, float]) -> float:
    # What is only limited is requested too.
    asked = {**_amounts(container.at("resources", "limits")), **_amounts(container.at("resources", "requests"))}
    return sum(prices.get(key, 0.0) * (one / GIB if key == "memory" else one) for key, one in asked.items())


def _amounts(node: Node) -> dict[str, float]:
    return {key: _amount(one) for key, one in node.entries()}


def _amount(node: Node) -> float:
    """Return what a quantity stands for; 0 where it is not known yet, or written as nobody prices it."""
    from settings import amount  # noqa: PLC0415 (read by then, policy/pack.py)

    try:
        return amount(str(node.value)) if node.known else 0.0
    except ValueError:
        return 0.0


def _replicas(resource: Resource) -> float:
    replicas = resource.at("spec", "replicas").number
    least = resource.at("spec", "predictor", "minReplicas").number
    return next((one for one in (replicas, least) if one is not None), 1.0)


def _claims(resource: Resource, prices: Mapping[str, float]) -> float:
    if resource.type == "kubernetes:core/v1:PersistentVolumeClaim":
        return _storage(resource.properties, prices)
    return sum(_storage(one, prices) for one in resource.at("spec", "volumeClaimTemplates").each()) * _replicas(
        resource
    )


def _storage(claim: Node, prices: Mapping[str, float]) -> float:
    size = claim.at("spec", "resources", "requests", "storage")
    return _amount(size) / GIB * prices.get("storage", 0.0)


def limited(resources: Sequence[Resource], facts: Facts) -> Iterator[Finding]:
    """Find a stack above what it may cost."""
    cost = facts.policies.cost
    if cost is None:
        return
    each = {one.name: monthly(one, cost.prices) for one in resources}
    whole = sum(monthly(one, cost.prices) for one in resources)
    if whole > cost.limit:
        dearest = sorted(each, key=lambda name: -each[name])[:3]
        parts = ", ".join(f"{name} {each[name]:.2f}" for name in dearest if each[name])
        problem = f"{whole:.2f} a month is above {cost.limit:.2f} ({parts})"
        yield Finding("modelstack:policies.cost.limit", problem, "lower replicas or requests, or raise the limit")


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
