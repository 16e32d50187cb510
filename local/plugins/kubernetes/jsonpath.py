"""The part of kubectl's JSONPath that `pulumi.com/waitFor` needs: keys, indices, `[*]` and `[?(@.key=="value")]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEP = re.compile(
    r"""\.(?P<key>[\w-]+|\*)|\[(?P<index>-?\d+|\*)\]|\['(?P<quoted>[^']*)'\]|\["(?P<double>[^"]*)"\]"""
    r"""|\[\?\(@\.(?P<field>[\w.-]+)\s*==\s*(?P<value>"[^"]*"|'[^']*'|[\w.-]+)\)\]"""
)


class ExpressionError(ValueError):
    """A waitFor expression cannot be read."""


@dataclass(frozen=True)
class JsonPath:
    """`jsonpath={.path}` or `jsonpath={.path}=value`."""

    text: str
    steps: tuple[Mapping[str, str | None], ...]
    value: str | None

    def matches(self, live: Mapping[str, Any]) -> bool:
        """Say whether the path leads to something, and to the value where one is given."""
        found: list[Any] = [live]
        for step in self.steps:
            found = [entry for node in found for entry in _follow(node, step)]
        if not found:
            return False
        return self.value is None or _text(found[0]) == self.value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _follow(node: Any, step: Mapping[str, str | None]) -> list[Any]:
    key = step["key"] or step["quoted"] or step["double"]
    if "*" in {step["key"], step["index"]}:
        return list(node.values()) if isinstance(node, Mapping) else list(node) if isinstance(node, list) else []
    if key is not None:
        return [node[key]] if isinstance(node, Mapping) and key in node else []
    if not isinstance(node, list):
        return []
    if step["index"] is not None:
        position = int(step["index"])
        return [node[position]] if -len(node) <= position < len(node) else []
    wanted = str(step["value"]).strip("\"'")
    return [entry for entry in node if _text(_dig(entry, str(step["field"]).split("."))) == wanted]


def _dig(node: Any, keys: list[str]) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def parse(expression: str) -> JsonPath:
    """Parse an expression; raise ExpressionError where it is none."""
    match = re.fullmatch(r"jsonpath=\{\s*\$?(?P<path>.*?)\s*\}(?:=(?P<value>.+))?", expression)
    if match is None:
        raise ExpressionError(f"waitFor {expression!r}: expected jsonpath={{.path}} or jsonpath={{.path}}=value")
    path, position, steps = match["path"], 0, []
    while position < len(path):
        step = STEP.match(path, position)
        if step is None:
            raise ExpressionError(f"waitFor {expression!r}: {path[position:]!r} is not understood")
        steps.append(step.groupdict())
        position = step.end()
    if not steps:
        raise ExpressionError(f"waitFor {expression!r}: the path is empty")
    return JsonPath(expression, tuple(steps), match["value"])
