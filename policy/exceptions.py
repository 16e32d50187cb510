"""Exceptions: which findings are let pass, and which exceptions let none pass."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from policy.rule import Finding

if TYPE_CHECKING:
    from settings import ExceptionSettings

NAME = "exceptions"
WHAT = "Each exception of the settings lets something pass"


@dataclass
class Exceptions:
    """The exceptions of a stack; counts those that were needed, from every thread that asks."""

    given: Sequence[ExceptionSettings]
    _needed: set[int] = field(default_factory=set)

    def cover(self, policy: str, resource: str) -> bool:
        """Return whether a finding of this policy on a resource of this name is let pass."""
        matching = [
            index
            for index, one in enumerate(self.given)
            if one.policy == policy and fnmatchcase(resource, one.resource)
        ]
        self._needed.update(matching)
        return bool(matching)

    def unneeded(self, known: Sequence[str]) -> Iterator[Finding]:
        """Yield what is wrong with exceptions that covered no finding so far; `known` are the policies' names."""
        for index, one in enumerate(self.given):
            path = f"modelstack:policies.exceptions[{index}]"
            if one.policy not in known:
                near = difflib.get_close_matches(one.policy, known, 1)
                meant = f"did you mean {near[0]}" if near else "docs/policies.md lists them"
                yield Finding(f"{path}.policy", f"{one.policy!r} is no policy", f"correct it; {meant}")
            elif index not in self._needed:
                problem = f"{one.resource!r} lets nothing of {one.policy} pass"
                yield Finding(f"{path}.resource", problem, "remove the exception, or correct the name")
