"""Contenders take turns, and each turn begins with another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def rotated(contenders: Sequence[T], turn: int) -> Sequence[T]:
    """Return the contenders in the order of a turn."""
    first = turn % len(contenders)
    return [*contenders[first:], *contenders[:first]]
