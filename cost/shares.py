"""What of a stack's money is each model's: by what its pods request.

Where requests have prices, a model costs what it requests. Where machines have, it costs its share of those that it
can run on: the share of the resource that it takes most of, since nobody else has what is left beside it (the dominant
share of Ghodsi et al., Dominant Resource Fairness, NSDI 2011, section 4.1). Shares add up to less than the machines
cost where room is left, and to more where the requests need more machines than the stack begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cost.bill import Bill, instance_of, nodes_of
from cost.kinds import NODE_GROUP
from cost.lines import Line
from cost.objects import GPU
from cost.rates import Rates
from cost.values import at, items, text

KEEPS_AWAY = ("NO_SCHEDULE", "NO_EXECUTE")


@dataclass(frozen=True)
class Request:
    """What all pods of a model request."""

    cpu: float
    """Cores."""
    memory: float
    """GiB."""
    gpus: float = 0


@dataclass(frozen=True)
class _Room:
    """Machines that pods can run on, and what they cost."""

    cpu: float
    memory: float
    gpus: float
    money: float


def of_models(bill: Bill, rates: Rates, requests: Mapping[str, Request]) -> dict[str, float]:
    """Return model → money a month; a model of which that cannot be said is left out."""
    found = {name: _priced(one, rates.monthly) for name, one in requests.items()}
    if None in found.values():
        rooms = {gpus: _room(bill.lines, rates, gpus=gpus) for gpus in (False, True)}
        found = {name: _share(one, rooms[one.gpus > 0]) for name, one in requests.items()}
    return {name: round(money, 2) for name, money in found.items() if money is not None}


def _priced(one: Request, prices: Mapping[str, float]) -> float | None:
    asked = {"cpu": one.cpu, "memory": one.memory, GPU: one.gpus}
    wanted = [key for key, value in asked.items() if value]
    if any(key not in prices for key in wanted):
        return None
    return sum(prices[key] * asked[key] for key in wanted)


def _room(lines: Sequence[Line], rates: Rates, *, gpus: bool) -> _Room | None:
    """Return the machines with GPUs, or those without that take any pod; None where one of them is not known."""
    found = [
        _machines(line, rates) for line in lines if line.resource.type == NODE_GROUP and (gpus or not _taken(line))
    ]
    fitting = [one for one in found if one is None or (one.gpus > 0) == gpus]
    known = [one for one in fitting if one is not None]
    if not known or len(known) < len(fitting):
        return None
    return _Room(*(sum(getattr(one, part) for one in known) for part in ("cpu", "memory", "gpus", "money")))


def _taken(line: Line) -> bool:
    taints = items(at(line.resource.properties, "taints"))
    return any(text(at(one, "effect")) in KEEPS_AWAY for one in taints)


def _machines(line: Line, rates: Rates) -> _Room | None:
    size, nodes = rates.instances.get(instance_of(line.resource)), nodes_of(line.resource)
    if size is None or nodes is None:
        return None
    return _Room(size.vcpus * nodes, size.memory * nodes, size.gpus * nodes, line.money)


def _share(one: Request, room: _Room | None) -> float | None:
    if room is None or not room.money:
        return None
    parts = [(one.cpu, room.cpu), (one.memory, room.memory), (one.gpus, room.gpus)]
    return room.money * max(asked / there for asked, there in parts if there)
