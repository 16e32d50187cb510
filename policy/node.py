"""A resource's properties with the path to each: absent, unknown until `up`, or known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pulumi_policy.proxy import UnknownValueError


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
LONGEST = 120


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it lies, as `spec.containers[0].image`; what is below an unknown value is unknown too."""

    value: Any
    path: str = ""
    partial: bool = False
    """Whether what is not there may be so all the same: of a patch only a part of the object is seen."""

    def at(self, *keys: str) -> Node:
        """Return what lies below, key by key."""
        found = self
        for key in keys:
            value = found.value
            below = value if value is UNKNOWN else value.get(key) if isinstance(value, Mapping) else None
            found = Node(below, _joined(found.path, key), self.partial)
        return found

    def each(self) -> list[Node]:
        """Return the elements of a list; none where it is absent or unknown."""
        if not isinstance(self.value, list):
            return []
        return [Node(one, f"{self.path}[{index}]", self.partial) for index, one in enumerate(self.value)]

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of a mapping; none where it is absent or unknown."""
        if isinstance(self.value, Mapping):
            yield from ((key, self.at(key)) for key in self.value)

    @property
    def absent(self) -> bool:
        """Whether there is certainly nothing."""
        return self.value is None and not self.partial

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None and self.value is not UNKNOWN

    @property
    def text(self) -> str:
        """The value of a text; empty where it is absent, unknown or none."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def number(self) -> float | None:
        """The value of a number; None where it is none. The engine gives every number as a float."""
        return float(self.value) if isinstance(self.value, int | float) and not isinstance(self.value, bool) else None

    def is_other_than(self, *allowed: object) -> bool:
        """Return whether it is absent, or known and none of `allowed`."""
        return self.absent or (self.known and self.value not in allowed)

    @property
    def shown(self) -> str:
        """The value in one line, for a message."""
        if self.value is None:
            return "is missing"
        whole = repr(_whole(self.value))
        return whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}…"


def plain(value: Any) -> Any:
    """Return what the engine hands over as mappings, lists and scalars, with UNKNOWN for what a preview cannot know."""
    if isinstance(value, Mapping):
        return {key: _below(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_below(value, index) for index in range(len(value))]
    return value


def _below(holder: Any, key: Any) -> Any:
    try:
        return plain(holder[key])
    except UnknownValueError:
        return UNKNOWN


def _joined(path: str, key: str) -> str:
    plainly = key.replace("_", "").replace("-", "").isalnum()
    if not plainly:
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
