"""A resource that a program declares, and the line of what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass
class Sum:
    """A line that grows."""

    prices: Prices
    money: float = 0.0
    missing: list[str] = field(default_factory=list)

    def add(self, key: str, times: float = 1.0, *, what: str = "") -> None:
        """Count `times` what has the price `key`; without one it is missing."""
        if key in self.prices:
            self.money += self.prices[key] * times
        elif times:
            self.lack(f"no price of {what or key}")

    def lack(self, why: str) -> None:
        """Name something as not counted."""
        self.missing.append(why)


@dataclass(frozen=True)
class Around:
    """What the rest of a stack says of one of its resources."""

    templates: Mapping[str, Declared]
    """Name → launch template."""
    has_nodes: bool
    """Whether the machines that pods run on are counted, so that pods without a price are paid for."""
    nodes: float | None
    """How many nodes all groups begin with; None where there is none, or one that is not known or comes by load."""
