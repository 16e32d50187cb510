"""Which properties differ between a resource's state and its new inputs, down to single leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pulumi.provider.experimental.provider import DiffResponse, PropertyDiff, PropertyDiffKind

from provider.values import Properties, is_unknown, plain, same

_REPLACING = {
    PropertyDiffKind.ADD: PropertyDiffKind.ADD_REPLACE,
    PropertyDiffKind.DELETE: PropertyDiffKind.DELETE_REPLACE,
    PropertyDiffKind.UPDATE: PropertyDiffKind.UPDATE_REPLACE,
}


def compare(
    old: Properties,
    new: Properties,
    keys: Iterable[str],
    *,
    replacing: Iterable[str] = (),
    detailed: Iterable[str] = (),
) -> DiffResponse:
    """Return the difference over `keys`; those in `replacing` ask for a new resource, `detailed` ones only explain."""
    changed = [key for key in keys if _differs(old, new, key)]
    replaces = [key for key in changed if key in set(replacing)]
    if not changed:
        return DiffResponse(changes=False)
    explained = [*changed, *(key for key in detailed if _differs(old, new, key))]
    details: dict[str, PropertyDiff] = {}
    for key in explained:
        for path, kind in _leaves(old, new, key):
            details[path] = PropertyDiff(_REPLACING[kind] if key in replaces else kind, input_diff=True)
    return DiffResponse(changes=True, replaces=replaces, diffs=explained, detailed_diff=details)


def _differs(old: Properties, new: Properties, key: str) -> bool:
    value = new.get(key)
    return (value is not None and is_unknown(value)) or not same(old.get(key), value)


def _leaves(old: Properties, new: Properties, key: str) -> Iterator[tuple[str, PropertyDiffKind]]:
    before = plain(old[key]) if key in old else None
    after = plain(new[key]) if key in new else None
    yield from _walk(before, after, key)


def _walk(before: object, after: object, path: str) -> Iterator[tuple[str, PropertyDiffKind]]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _walk(before.get(name), after.get(name), f"{path}.{name}")
        return
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _walk(one, other, f"{path}[{index}]")
        return
    yield path, _kind(before, after)


def _kind(before: object, after: object) -> PropertyDiffKind:
    if before is None:
        return PropertyDiffKind.ADD
    return PropertyDiffKind.DELETE if after is None else PropertyDiffKind.UPDATE
