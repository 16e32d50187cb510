"""Says in one line what pydantic found wrong: key path, value, limit, remedy."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_LIMITS = {
    "greater_than": ("gt", "must be above {}", "raise it"),
    "greater_than_equal": ("ge", "must be at least {}", "raise it"),
    "less_than": ("lt", "must be below {}", "lower it"),
    "less_than_equal": ("le", "must be at most {}", "lower it"),
    "too_short": ("min_length", "needs at least {} entries", "add some"),
    "too_long": ("max_length", "holds at most {} entries", "remove some"),
    "string_too_short": ("min_length", "needs at least {} characters", "write more"),
    "string_too_long": ("max_length", "holds at most {} characters", "shorten it"),
    "literal_error": ("expected", "must be {}", "write that"),
    "string_pattern_mismatch": ("pattern", "must match {}", "rewrite it"),
    "union_tag_invalid": ("expected_tags", "must be one of {}", "write one of them"),
}
# What tells the members of a union apart, and what it may be where it is missing.
_TAGS = {"'client'": "`client: npm`, `client: pypi` or `client: installed`", "'name'": "`name: onnxruntime`"}
_PLAIN = {
    "missing": "is missing; add it",
    "extra_forbidden": "is no key a recipe knows; remove it or correct its spelling",
    "finite_number": "must be a finite number; write one",
}


def explain(error: ValidationError, document: object) -> str:
    """Return the findings of `error` in one line, the first three in full."""
    found = error.errors(include_url=False)
    places = [one["loc"] for one in found]
    findings = [one for one in found if not any(_is_below(place, one["loc"]) for place in places)]
    told = "; also ".join(_finding(one, document) for one in findings[:3])
    rest = len(findings) - 3
    return f"{told}; and {rest} more" if rest > 0 else told


def _is_below(place: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _finding(one: Mapping[str, Any], document: object) -> str:
    path = key_path(one["loc"], document)
    kind = one["type"]
    if kind == "missing":
        return f"{path}: {_PLAIN[kind]}"
    value = _short(one["input"])
    if kind in _PLAIN:
        return f"{path}: {value} {_PLAIN[kind]}"
    if kind == "union_tag_not_found":
        tag = one["ctx"]["discriminator"]
        return f"{path}: {value} has no {tag.strip(chr(39))}; write {_TAGS[tag]}"
    if kind in _LIMITS:
        name, limit, remedy = _LIMITS[kind]
        return f"{path}: {value} {limit.format(one['ctx'][name])}; {remedy}"
    if kind == "value_error":
        return f"{path}: {value} {one['ctx']['error']}"
    said = one["msg"].removeprefix("Input ").rstrip(".")
    return f"{path}: {value} {said}; change its type"


def key_path(location: tuple[int | str, ...], document: object) -> str:
    """Return `steps[0].train.epochs` for a pydantic location; names that are not in the document are dropped."""
    path, here = "", document
    for index, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
            continue
        if isinstance(here, dict) and part not in here and index < len(location) - 1:
            continue
        path += f".{part}" if path else part
        here = here.get(part) if isinstance(here, dict) else None
    return path or "the recipe"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
