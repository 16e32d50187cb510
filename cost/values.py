"""Plain values of a resource; whatever is none, in any part, is what a preview cannot know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def at(value: Any, *keys: str) -> Any:
    """Return what lies below, key by key; None where there is nothing, what is unknown where anything above it is."""
    found = value
    for key in keys:
        if is_unknown(found):
            return found
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def is_unknown(value: Any) -> bool:
    """Return whether a preview cannot know it."""
    return not (value is None or isinstance(value, Mapping | str | bool | int | float) or is_list(value))


def has_unknown(value: Any) -> bool:
    """Return whether a preview cannot know it, or a value in its mappings."""
    below = value.values() if isinstance(value, Mapping) else ()
    return is_unknown(value) or any(has_unknown(one) for one in below)


def is_list(value: Any) -> bool:
    """Return whether it is a list."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def items(value: Any) -> Sequence[Any]:
    """Return the elements of a list; none where it is absent or unknown."""
    return value if is_list(value) else ()


def text(value: Any) -> str:
    """Return a text; empty where it is none."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """Return a number; None where it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def amount(value: Any) -> float:
    """Return what a quantity stands for; 0 where it is not known yet, or written as nobody prices it."""
    from settings.base import amount as of_text  # noqa: PLC0415 (pydantic takes longer to import than all the rest)

    if is_unknown(value) or value is None:
        return 0.0
    try:
        return of_text(str(value))
    except ValueError:
        return 0.0
