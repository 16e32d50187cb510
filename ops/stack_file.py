"""Edits one setting of a Pulumi.<stack>.yaml and leaves every other byte of it: comments, order, quotes, layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Mapping = yaml.MappingNode
Node = yaml.Node


class SettingError(Exception):
    """The setting cannot be edited here; the message is one line and says what to write by hand."""


def with_setting(path: Path, keys: tuple[str, ...], value: str | None) -> str:
    """Return the text of the file at `path` with a plain text at `keys`, or with None without it.

    All but the last key have to be there as mappings. Raises SettingError.
    """
    text = _read(path)
    by_hand = f"{path.name}: {'.'.join(keys[:-1])}: {{}}; " + (
        f"write `{keys[-1]}: {value}` into it by hand" if value else f"remove `{keys[-1]}` from it by hand"
    )
    try:
        before = yaml.safe_load(text)
        mapping = _mapping(yaml.compose(text, Loader=yaml.SafeLoader), keys[:-1])
    except yaml.YAMLError as error:
        raise SettingError(by_hand.format(f"cannot be read ({' '.join(str(error).split())})")) from error
    if mapping is None or not isinstance(before, dict):
        raise SettingError(by_hand.format("is no mapping there"))
    changed = _changed(text, mapping, keys[-1], value)
    # An anchor that others share would change them too; what was not asked for is not written.
    if _loaded(changed) != _wanted(before, keys, value):
        raise SettingError(by_hand.format("cannot be changed alone"))
    return changed


def write(path: Path, text: str) -> None:
    """Put `text` in place of the file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text.encode())
    part.chmod(path.stat().st_mode & 0o777)
    part.replace(path)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path.name}: cannot be read ({error}); run this in the project's folder") from error


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _wanted(before: dict[str, Any], keys: tuple[str, ...], value: str | None) -> dict[str, Any]:
    # Through text, so that what an anchor shares is shared no more.
    whole: dict[str, Any] = yaml.safe_load(yaml.dump(before, Dumper=_Unshared))
    place = whole
    for key in keys[:-1]:
        place = place[key]
    place.pop(keys[-1], None)
    if value is not None:
        place[keys[-1]] = value
    return whole


class _Unshared(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the name yaml calls)
        return True


def _mapping(node: Node | None, keys: tuple[str, ...]) -> Mapping | None:
    for key in keys:
        pair = _pair(node, key) if isinstance(node, Mapping) else None
        if pair is None:
            return None
        node = pair[1]
    return node if isinstance(node, Mapping) else None


def _pair(mapping: Mapping, key: str) -> tuple[Node, Node] | None:
    return next((pair for pair in mapping.value if pair[0].value == key), None)


def _changed(text: str, mapping: Mapping, key: str, value: str | None) -> str:
    pair = _pair(mapping, key)
    if value is None:
        return text if pair is None else _without(text, mapping, pair)
    if pair is not None:
        return text[: pair[1].start_mark.index] + value + text[pair[1].end_mark.index :]
    if mapping.flow_style:
        return _in_flow(text, mapping, f"{key}: {value}")
    return _in_block(text, mapping, f"{key}: {value}")


def _in_flow(text: str, mapping: Mapping, pair: str) -> str:
    if not mapping.value:
        at = mapping.start_mark.index + 1
        return f"{text[:at]}{pair}{text[at:]}"
    at = mapping.value[-1][1].end_mark.index
    return f"{text[:at]}, {pair}{text[at:]}"


def _in_block(text: str, mapping: Mapping, pair: str) -> str:
    """Insert a line below the last one of the mapping."""
    ending = "\r\n" if "\r\n" in text else "\n"
    at = _line_end(text, _end(mapping))
    before = text[:at] if text[:at].endswith("\n") else text[:at] + ending
    return f"{before}{' ' * mapping.start_mark.column}{pair}{ending}{text[at:]}"


def _without(text: str, mapping: Mapping, pair: tuple[Node, Node]) -> str:
    if not mapping.flow_style:
        start = text.rfind("\n", 0, pair[0].start_mark.index) + 1
        return text[:start] + text[_line_end(text, _end(pair[1])) :]
    position = mapping.value.index(pair)
    if position:
        start, end = mapping.value[position - 1][1].end_mark.index, pair[1].end_mark.index
    else:
        after = mapping.value[1][0].start_mark.index if len(mapping.value) > 1 else pair[1].end_mark.index
        start, end = pair[0].start_mark.index, after
    return text[:start] + text[end:]


def _end(node: Node) -> int:
    """Return where a node's own text ends; that of a block goes on to the next token, past comments."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, Mapping) else last)


def _line_end(text: str, at: int) -> int:
    """Return the start of the line after the one that holds the character before `at`."""
    if at and text[at - 1] == "\n":
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1
