"""A rule, what it looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from policy.node import Node

if TYPE_CHECKING:
    from settings import PolicySettings

Level = Literal["mandatory", "advisory"]
PROD = "prod"


@dataclass(frozen=True)
class Resource:
    """A resource as the engine hands it over: its inputs, or where the whole stack is judged its outputs."""

    type: str
    name: str
    urn: str
    properties: Node
    protect: bool = False
    dependencies: tuple[str, ...] = ()
    """URNs."""

    @property
    def kind(self) -> str:
        """The last part of the type: of a Kubernetes object its kind."""
        return self.type.rpartition(":")[2]

    def at(self, *keys: str) -> Node:
        """Return a property."""
        return self.properties.at(*keys)


@dataclass(frozen=True)
class Facts:
    """What rules go by besides resources."""

    environment: str
    """dev, test, staging or prod."""
    policies: PolicySettings
    objectives: frozenset[str] = frozenset()
    """The models that the settings name an objective of."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """What is counted → money a month."""

    @property
    def prod(self) -> bool:
        """Whether people depend on the stack."""
        return self.environment == PROD


@dataclass(frozen=True)
class Finding:
    """What is wrong in one place, and what to do about it."""

    path: str
    problem: str
    """Goes on after the path: the value, and the limit that it does not keep."""
    remedy: str
    resource: Resource | None = None
    """Where the whole stack is judged: the resource it is about, if it is one."""
    subject: str = ""
    """What exceptions name in place of the resource."""


@dataclass(frozen=True)
class Rule:
    """What one resource may not be."""

    name: str
    what: str
    """One sentence."""
    level: Level
    check: Callable[[Resource, Facts], Iterator[Finding]]


@dataclass(frozen=True)
class StackRule:
    """What a whole stack may not be."""

    name: str
    what: str
    level: Level
    check: Callable[[Sequence[Resource], Facts], Iterator[Finding]]


def bad(node: Node, remedy: str, problem: str = "") -> Finding:
    """Return the finding that a value, or that there is none, is wrong."""
    return Finding(node.path, node.shown if node.value is None else f"{node.shown} {problem}".rstrip(), remedy)
