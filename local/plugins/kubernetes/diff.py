"""What differs between an object in the state and new inputs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from local.plugins.values import UNKNOWN, has_unknown

MISSING = object()
ADD, DELETE, UPDATE = "ADD", "DELETE", "UPDATE"
Path = tuple[str | int, ...]
Change = tuple[Path, str, Any]  # where, kind, new value
READ_ONLY = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
]
SPECIAL_CHARACTERS = set('."[]')


def normalized(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs without read-only metadata and with a Secret's stringData as the API server stores it."""
    result = dict(inputs)
    if isinstance(result.get("metadata"), Mapping):
        result["metadata"] = {key: value for key, value in result["metadata"].items() if key not in READ_ONLY}
    if result.get("kind") == "CustomResourceDefinition":
        result.pop("status", None)
    if result.get("kind") == "Secret" and result.get("apiVersion") == "v1" and not has_unknown(result):
        return _secret(result)
    return result


def _secret(inputs: dict[str, Any]) -> dict[str, Any]:
    data = {key: _canonical(value) for key, value in (inputs.get("data") or {}).items()}
    text = inputs.get("stringData") or {}
    data |= {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
    rest = {key: value for key, value in inputs.items() if key != "stringData"}
    return {**rest, "data": data} if data else rest


def _canonical(value: object) -> object:
    try:
        return base64.b64encode(base64.b64decode(str(value))).decode()
    except binascii.Error:
        return value


def pruned(live: Any, shape: Any) -> Any:
    """Return the part of a live value that has the shape of the inputs, so that the server's own fields drop out."""
    if isinstance(live, Mapping) and isinstance(shape, Mapping):
        return {key: pruned(value, shape[key]) for key, value in live.items() if key in shape}
    if isinstance(live, list) and isinstance(shape, list) and live and shape:
        return [pruned(value, entry) for value, entry in zip(live, shape, strict=False)]
    return [] if isinstance(live, list) and isinstance(shape, list) else live


def _same(old: object, new: object) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    return old == new


def _at(value: Any, key: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, MISSING)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else MISSING


def changes(path: Path, old: Any, new: Any, before: Any) -> Iterator[Change]:
    """Yield the changes from an old live value to a new input; `before` is what the last inputs held."""
    if new is MISSING or (new is None and old is not MISSING):
        if old is not MISSING and old is not None:
            yield path, DELETE, None
    elif old is MISSING:
        # The server drops empty values; asking for the same emptiness again is no change.
        if new is not None and not (not new and new is not UNKNOWN and _same(before, new)):
            yield path, ADD, new
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from changes((*path, key), _at(old, key), _at(new, key), _at(before, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from changes((*path, index), _at(old, index), _at(new, index), _at(before, index))
    elif not _same(old, new):
        yield path, UPDATE, new


def written(path: Path) -> str:
    """Return a path as the engine writes it, `spec.containers[0].image`."""
    result = ""
    for key in path:
        if isinstance(key, int):
            result += f"[{key}]"
        elif SPECIAL_CHARACTERS & set(key):
            quoted = key.replace('"', '\\"')
            result += f'["{quoted}"]'
        else:
            result += f".{key}" if result else key
    return result


def ignored(path: Path, patterns: list[Path]) -> bool:
    """Say whether a change lies at or below a path that ignoreChanges names."""
    return any(
        len(pattern) <= len(path) and all(a in {b, "*"} for a, b in zip(pattern, path, strict=False))
        for pattern in patterns
    )


def parse_path(text: str) -> Path:
    """Parse a property path such as `spec.containers[0].image` or `metadata.annotations["a.b"]`."""
    keys: list[str | int] = []
    rest = text
    while rest:
        if rest.startswith('["'):
            end = rest.index('"]')
            keys.append(rest[2:end].replace('\\"', '"'))
            rest = rest[end + 2 :]
        elif rest.startswith("["):
            end = rest.index("]")
            keys.append(int(rest[1:end]) if rest[1:end].isdigit() else rest[1:end])
            rest = rest[end + 1 :]
        else:
            rest = rest.removeprefix(".")
            end = min((rest.index(mark) for mark in ".[" if mark in rest), default=len(rest))
            keys.append(rest[:end])
            rest = rest[end:]
    return tuple(keys)
