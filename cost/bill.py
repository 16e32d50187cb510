"""What the resources of a stack cost a month, and what of them no price is known of.

Money is per month (730 hours), in whatever currency the prices are. What hangs on use alone, as traffic, logs and what
is stored in buckets and registries, no program declares: it is told as not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cost.kinds import (
    BALANCERS,
    BY_USE,
    CHARTS,
    KSERVE,
    LASTING,
    NODE_GROUP,
    ROOMS,
    SIZED,
    TEMPLATE,
    USED_TOO,
    may_cost,
)
from cost.values import amount, at, has_unknown, is_list, is_unknown, items, number, text

Prices = Mapping[str, float]
GIB = 2**30
USE = "by use"
LOAD = "nodes that come by load"
UNKNOWN = "not known before `up`"


@dataclass(frozen=True)
class Declared:
    """A resource of a program: plain values, and anything else where a preview cannot know one."""

    type: str
    name: str
    properties: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The last part of the type."""
        return self.type.rpartition(":")[2]


@dataclass(frozen=True)
class Line:
    """What one resource costs a month, and what of it is not in that."""

    resource: Declared
    money: float
    missing: tuple[str, ...] = ()


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


@dataclass
class _Sum:
    """A line that grows."""

    prices: Prices
    money: float = 0.0
    missing: list[str] = field(default_factory=list)

    def add(self, key: str, times: float = 1.0, *, what: str = "") -> None:
        """Count `times` what has the price `key`; without one it is missing."""
        if key in self.prices:
            self.money += self.prices[key] * times
        elif times:
            self.missing.append(f"no price of {what or key}")


def bill(resources: Sequence[Declared], prices: Prices) -> Bill:
    """Return what each resource costs; of those that cost nothing there is no line."""
    stack = _Stack(prices, {one.name: one for one in resources if one.type == TEMPLATE}, _has_nodes(resources))
    lines = (stack.line(one) for one in resources if may_cost(one.type) or one.type in prices)
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


def _has_nodes(resources: Sequence[Declared]) -> bool:
    return any(one.type == NODE_GROUP or one.kind == "NodePool" for one in resources)


@dataclass(frozen=True)
class _Stack:
    prices: Prices
    templates: Mapping[str, Declared]
    has_nodes: bool
    """Whether the machines that pods run on are counted, so that pods without a price are paid for."""

    def line(self, one: Declared) -> Line:
        found = _Sum(self.prices)
        own = self.prices.get(one.type)
        found.money += own or 0.0
        rule = RULES.get(one.type) or (_kubernetes if one.type.startswith("kubernetes:") else None)
        if rule:
            rule(self, one, found)
        elif one.type in SIZED:
            _sized(self, one, found)
        elif own is None and one.type.startswith("aws:") and one.type not in BY_USE:
            found.missing.append("no price")
        if one.type in (*BY_USE, *USED_TOO):
            found.missing.append(USE)
        return Line(one, found.money, tuple(found.missing))


def _sized(_: _Stack, one: Declared, found: _Sum) -> None:
    size = at(one.properties, SIZED[one.type])
    if is_unknown(size):
        found.missing.append(UNKNOWN)
        return
    found.add(text(size), number(at(one.properties, "numCacheClusters")) or 1, what=text(size) or "its instance type")


def _node_group(stack: _Stack, one: Declared, found: _Sum) -> None:
    nodes, instance = nodes_of(one), instance_of(one)
    if nodes is None or not instance:
        found.missing.append(UNKNOWN)
        return
    if not nodes:
        found.missing.append(LOAD)
        return
    spot = f"{instance} spot"
    if text(at(one.properties, "capacityType")) == "SPOT" and spot in stack.prices:
        found.add(spot, nodes)
    elif text(at(one.properties, "capacityType")) == "SPOT" and instance in stack.prices:
        found.add(instance, nodes)
        found.missing.append(f"no price of {spot}, counted as on demand")
    else:
        found.add(instance, nodes)
    disks = sum(_disks(stack, one, found))
    if disks:
        found.add("storage", nodes * disks, what="disks")


def _disks(stack: _Stack, group: Declared, found: _Sum) -> Iterator[float]:
    """Yield the GiB of each disk of a node: its own, or those of the launch template whose name its own begins with."""
    if at(group.properties, "launchTemplate") is None:
        yield number(at(group.properties, "diskSize")) or 0
        return
    of_group = [one for name, one in stack.templates.items() if f"{group.name}-".startswith(f"{name}-")]
    template = max(of_group, key=lambda one: len(one.name), default=None)
    mappings = items(at(template.properties, "blockDeviceMappings")) if template else []
    if not mappings:
        found.missing.append("disks")
    for mapping in mappings:
        size = at(mapping, "ebs", "volumeSize")
        found.missing += [UNKNOWN] if is_unknown(size) else []
        yield number(size) or 0


def _cluster(_: _Stack, one: Declared, found: _Sum) -> None:
    if one.type not in found.prices:
        found.missing.append("no price")
    if at(one.properties, "computeConfig", "enabled") is True:
        found.missing.append(LOAD)


def _endpoint(_: _Stack, one: Declared, found: _Sum) -> None:
    # Those of S3 and DynamoDB cost nothing; others cost in each zone that they are in.
    if text(at(one.properties, "vpcEndpointType")) in ("", "Gateway") or one.type in found.prices:
        return
    subnets = at(one.properties, "subnetIds")
    if is_list(subnets):
        found.add("interface-endpoint", len(subnets))
    else:
        found.missing.append(UNKNOWN)


def _balancer(_: _Stack, one: Declared, found: _Sum) -> None:
    kind = text(at(one.properties, "loadBalancerType")) or "application"
    if one.type not in found.prices:
        found.add(BALANCERS.get(kind, f"{kind}-load-balancer"))


def _volume(_: _Stack, one: Declared, found: _Sum) -> None:
    kind = text(at(one.properties, "type")) or "gp2"
    if one.type in found.prices:
        return
    if kind != "gp3":
        found.missing.append(f"no price of {kind}")
        return
    found.add("storage", number(at(one.properties, "size")) or 0)


def _kubernetes(stack: _Stack, one: Declared, found: _Sum) -> None:
    spec = at(one.properties, "spec")
    if one.kind == "Service":
        _service(spec, found)
    elif one.kind == "PersistentVolumeClaim":
        _claim(spec, 1, found)
    elif one.type.startswith("kubernetes:karpenter.sh/") and one.kind == "NodePool":
        found.missing.append(LOAD)
    elif one.type.startswith(CHARTS):
        found.missing.append("what the chart brings")
    elif one.kind in LASTING or KSERVE in one.type:
        _pods(stack, one, found)


def _service(spec: Any, found: _Sum) -> None:
    kind = at(spec, "type")
    if is_unknown(kind):
        found.missing.append(UNKNOWN)
    elif kind == "LoadBalancer":
        found.add("network-load-balancer", what="its load balancer")


def _claim(spec: Any, times: float, found: _Sum) -> None:
    size = at(spec, "resources", "requests", "storage")
    if is_unknown(size):
        found.missing.append(UNKNOWN)
        return
    found.add("storage", amount(size) / GIB * times, what="its volume")


def _pods(stack: _Stack, one: Declared, found: _Sum) -> None:
    spec = at(one.properties, "spec")
    replicas = _replicas(spec)
    for claim in items(at(spec, "volumeClaimTemplates")):
        _claim(at(claim, "spec"), replicas, found)
    paid = stack.has_nodes and not {"cpu", "memory"} & set(stack.prices)
    containers = list(_containers(one, spec))
    parts = (spec, at(spec, "replicas"), at(spec, "template", "spec", "containers"))
    unknown = any(map(is_unknown, parts)) or any(has_unknown(at(one, "resources")) for one in containers)
    if (unknown and not paid) or (one.kind == "StatefulSet" and is_unknown(at(spec, "volumeClaimTemplates"))):
        found.missing.append(UNKNOWN)
    for container in containers:
        for key, value in asked_by(container).items():
            if key in stack.prices or not (stack.has_nodes or key == "ephemeral-storage"):
                found.add(key, value * replicas, what=f"{key} of pods")


def _containers(one: Declared, spec: Any) -> Iterator[Any]:
    if one.kind in LASTING:
        yield from items(at(spec, "template", "spec", "containers"))
        return
    if one.kind == "InferenceService":
        for room in (at(spec, key) for key in ROOMS):
            # A predictor names its framework in place of containers.
            named = [value for value in room.values() if at(value, "resources")] if isinstance(room, Mapping) else []
            lasting = at(room, "workerSpec") is None
            yield from [*items(at(room, "containers")), *named] if lasting else []


def asked_by(container: Any) -> dict[str, float]:
    """Return what a container requests: cores, GiB of memory, a number of anything else; what is limited too."""
    whole = {**_amounts(at(container, "resources", "limits")), **_amounts(at(container, "resources", "requests"))}
    return {key: value / GIB if key == "memory" else value for key, value in whole.items()}


def _amounts(found: Any) -> dict[str, float]:
    return {key: amount(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _replicas(spec: Any) -> float:
    asked = (number(at(spec, "replicas")), number(at(spec, "predictor", "minReplicas")))
    return next((one for one in asked if one is not None), 1.0)


RULES: Mapping[str, Callable[[_Stack, Declared, _Sum], None]] = {
    NODE_GROUP: _node_group,
    "aws:eks/cluster:Cluster": _cluster,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:lb/loadBalancer:LoadBalancer": _balancer,
    "aws:ebs/volume:Volume": _volume,
}
