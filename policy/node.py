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

    raw: Any
    """As pulumi-policy hands it over: what a preview cannot know raises where it is read."""
    path: str = ""
    partial: bool = False
    """Whether what is not there may be so all the same: of a patch only a part of the object is seen."""

    def at(self, *keys: str) -> Node:
        """Return what lies below, key by key."""
        found = self
        for key in keys:
            found = Node(_get(found.raw, key), _joined(found.path, key), self.partial)
        return found

    def each(self) -> list[Node]:
        """Return the elements of a list; none where it is absent or unknown."""
        if not _is_list(self.raw):
            return []
        return [Node(_below(self.raw, index), f"{self.path}[{index}]", self.partial) for index in range(len(self.raw))]

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of a mapping; none where it is absent or unknown."""
        if isinstance(self.raw, Mapping):
            yield from ((key, self.at(key)) for key in self.raw)

    @property
    def value(self) -> Any:
        """The value as mappings, lists and scalars, with UNKNOWN for what a preview cannot know."""
        return _plain(self.raw)

    @property
    def absent(self) -> bool:
        """Whether there is certainly nothing."""
        return self.raw is None and not self.partial

    @property
    def unknown(self) -> bool:
        """Whether a preview cannot know it."""
        return self.raw is UNKNOWN

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.raw is not None and self.raw is not UNKNOWN

    @property
    def text(self) -> str:
        """The value of a text; empty where it is absent, unknown or none."""
        return self.raw if isinstance(self.raw, str) else ""

    @property
    def number(self) -> float | None:
        """The value of a number; None where it is none. The engine gives every number as a float."""
        return float(self.raw) if isinstance(self.raw, int | float) and not isinstance(self.raw, bool) else None

    def is_other_than(self, *allowed: object) -> bool:
        """Return whether it is absent, or known and none of `allowed`."""
        return self.absent or (self.known and self.value not in allowed)

    @property
    def shown(self) -> str:
        """The value in one line, for a message."""
        if self.raw is None:
            return "is missing"
        whole = repr(_whole(self.value))
        return whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}…"


def _plain(raw: Any) -> Any:
    if isinstance(raw, Mapping):
        return {key: _plain(_below(raw, key)) for key in raw}
    return [_plain(_below(raw, index)) for index in range(len(raw))] if _is_list(raw) else raw


def _is_list(raw: Any) -> bool:
    return isinstance(raw, Sequence) and not isinstance(raw, str | bytes)


def _get(holder: Any, key: str) -> Any:
    if holder is UNKNOWN:
        return UNKNOWN
    try:
        return _below(holder, key) if isinstance(holder, Mapping) else None
    except KeyError:
        return None


def _below(holder: Any, key: Any) -> Any:
    try:
        return holder[key]
    except UnknownValueError:
        return UNKNOWN


def _joined(path: str, key: str) -> str:
    plainly = key.replace("_", "").replace("-", "").isalnum()
    if not plainly:
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
