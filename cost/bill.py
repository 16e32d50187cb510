"""What the resources of a stack cost a month, and what of them no price is known of.

Money is per month (730 hours), in whatever currency the prices are. What hangs on use alone, as traffic, logs and what
is stored in buckets and registries, no program declares: it is told as not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cost.kinds import BALANCERS, BY_USE, DISKS_TOO, NODE_GROUP, SIZED, TEMPLATE, USED_TOO, may_cost
from cost.lines import LOAD, UNKNOWN, USE, Around, Declared, Line, Prices, Sum
from cost.objects import of_cluster
from cost.values import at, is_list, is_unknown, items, number, text

# GiB of a node's disk where nobody says (https://docs.aws.amazon.com/eks/latest/APIReference/API_Nodegroup.html).
DISK = 20


@dataclass(frozen=True)
class Bill:
    """The lines of a stack."""

    lines: tuple[Line, ...]

    @property
    def money(self) -> float:
        """A month's."""
        return sum(one.money for one in self.lines)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not counted and why, each once and sorted."""
        return tuple(sorted({f"{line.resource.type}: {why}" for line in self.lines for why in line.missing}))


def bill(resources: Sequence[Declared], prices: Prices) -> Bill:
    """Return what each resource costs; of those that cost nothing there is no line."""
    around = _around(resources)
    lines = (_line(around, one, prices) for one in resources if may_cost(one.type) or one.type in prices)
    return Bill(tuple(one for one in lines if one.money or one.missing))


def nodes_of(group: Declared) -> float | None:
    """Return how many nodes a group begins with; None where it is not known yet."""
    sizes = [at(group.properties, "scalingConfig", key) for key in ("desiredSize", "minSize")]
    if any(map(is_unknown, sizes)) or is_unknown(at(group.properties, "scalingConfig")):
        return None
    return max((number(one) or 0 for one in sizes), default=0)


def instance_of(group: Declared) -> str:
    """Return the type of instance that is tried first; empty where it is not known."""
    return next((text(one) for one in items(at(group.properties, "instanceTypes"))), "")


def _around(resources: Sequence[Declared]) -> Around:
    groups = [nodes_of(one) for one in resources if one.type == NODE_GROUP]
    known = [one for one in groups if one is not None]
    by_load = any(one.kind == "NodePool" for one in resources)
    return Around(
        templates={one.name: one for one in resources if one.type == TEMPLATE},
        has_nodes=bool(groups) or by_load,
        nodes=sum(known) if known and len(known) == len(groups) and not by_load else None,
    )


def _line(around: Around, one: Declared, prices: Prices) -> Line:
    own = prices.get(one.type)
    found = Sum(prices, own or 0.0)
    rule = RULES.get(one.type) or (of_cluster if one.type.startswith("kubernetes:") else None)
    if rule:
        rule(around, one, found)
    elif one.type in SIZED:
        _sized(one, found)
    elif own is None and one.type.startswith("aws:") and one.type not in BY_USE:
        found.lack("no price")
    if one.type in (*BY_USE, *USED_TOO):
        found.lack(USE)
    return Line(one, found.money, tuple(found.missing))


def _sized(one: Declared, found: Sum) -> None:
    size, times = at(one.properties, SIZED[one.type]), at(one.properties, "numCacheClusters")
    if one.type in DISKS_TOO:
        found.lack("disks")
    if is_unknown(size) or is_unknown(times):
        found.lack(UNKNOWN)
        return
    found.add(text(size), number(times) or 1, what=text(size) or "its instance type")


def _node_group(around: Around, one: Declared, found: Sum) -> None:
    nodes, instance = nodes_of(one), instance_of(one)
    if nodes is None or not instance:
        found.lack(UNKNOWN)
        return
    if not nodes:
        found.lack(LOAD)
        return
    _nodes(one, instance, nodes, found)
    disks = sum(_disks(around, one, found))
    if disks:
        found.add("storage", nodes * disks, what="disks")


def _nodes(group: Declared, instance: str, nodes: float, found: Sum) -> None:
    kind, spot = at(group.properties, "capacityType"), f"{instance} spot"
    if kind != "SPOT":
        found.add(instance, nodes)
        found.missing += [UNKNOWN] if is_unknown(kind) else []
    elif spot in found.prices or instance not in found.prices:
        found.add(spot if spot in found.prices else instance, nodes)
    else:
        found.add(instance, nodes)
        found.lack(f"no price of {spot}, counted as on demand")


def _disks(around: Around, group: Declared, found: Sum) -> Iterator[float]:
    """Yield the GiB of each disk of a node: its own, or those of the launch template whose name its own begins with."""
    if at(group.properties, "launchTemplate") is None:
        yield _gib(at(group.properties, "diskSize"), found, DISK)
        return
    of_group = [one for name, one in around.templates.items() if f"{group.name}-".startswith(f"{name}-")]
    template = max(of_group, key=lambda one: len(one.name), default=None)
    mappings = items(at(template.properties, "blockDeviceMappings")) if template else []
    if not mappings:
        found.lack("disks")
    for mapping in mappings:
        yield _gib(at(mapping, "ebs", "volumeSize"), found)


def _gib(size: Any, found: Sum, otherwise: float | None = None) -> float:
    """Return GiB, `otherwise` where nobody says; names what is not known."""
    said = otherwise if size is None else size
    if said is None:
        found.lack("disks as large as their snapshots")
    elif is_unknown(said):
        found.lack(UNKNOWN)
    return number(said) or 0.0


def _cluster(_: Around, one: Declared, found: Sum) -> None:
    if one.type not in found.prices:
        found.lack("no price")
    enabled = at(one.properties, "computeConfig", "enabled")
    if enabled is True or is_unknown(enabled):
        found.lack(LOAD)


def _endpoint(_: Around, one: Declared, found: Sum) -> None:
    kind, subnets = at(one.properties, "vpcEndpointType"), at(one.properties, "subnetIds")
    # Those of S3 and DynamoDB cost nothing; others cost in each zone that they are in.
    if kind in (None, "Gateway") or one.type in found.prices:
        return
    if is_unknown(kind) or not is_list(subnets):
        found.lack(UNKNOWN)
    else:
        found.add("interface-endpoint", len(subnets))


def _balancer(_: Around, one: Declared, found: Sum) -> None:
    said = at(one.properties, "loadBalancerType")
    if one.type in found.prices:
        return
    if is_unknown(said):
        found.lack(UNKNOWN)
        return
    kind = text(said) or "application"
    found.add(BALANCERS.get(kind, f"{kind}-load-balancer"))


def _volume(_: Around, one: Declared, found: Sum) -> None:
    said = at(one.properties, "type")
    if one.type in found.prices:
        return
    if is_unknown(said):
        found.lack(UNKNOWN)
    elif text(said) != "gp3":
        found.lack(f"no price of {text(said) or 'gp2'}")
    else:
        found.add("storage", _gib(at(one.properties, "size"), found))


RULES: Mapping[str, Callable[[Around, Declared, Sum], None]] = {
    NODE_GROUP: _node_group,
    "aws:eks/cluster:Cluster": _cluster,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:lb/loadBalancer:LoadBalancer": _balancer,
    "aws:ebs/volume:Volume": _volume,
}
