"""A case of a policy: a passing resource, and the one change that offends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.policy.judging import Given


@dataclass(frozen=True)
class Case:
    """One case, of which a message says `said` from the property on."""

    policy: str
    passing: Given
    path: str
    """What is changed, as `a.b.0.c`."""
    value: Any
    said: str
    stack: str = "dev"

    @property
    def offending(self) -> Given:
        if self.path == "protect":
            return Given(self.passing.type, self.passing.properties, self.passing.name)
        return self.passing.having(self.path, self.value)
