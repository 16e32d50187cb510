"""What is told alike in every form: a stack in a line, operations, policy levels, cost."""

from __future__ import annotations

from collections.abc import Iterable

from ops.previews.facts import Change, Cost, Money, Operation, Preview

# What can hurt stands first.
ORDER: tuple[Operation, ...] = (
    *("replace", "delete", "update", "create"),
    *("import", "read", "refresh", "other", "same"),
)
DONE: dict[Operation, str] = {
    "create": "created",
    "update": "updated",
    "replace": "replaced",
    "delete": "deleted",
    "same": "the same",
    "read": "read",
    "import": "imported",
    "refresh": "refreshed",
    "other": "changed",
}
LEVELS = ("mandatory", "advisory", "remediate", "disabled")


def summary(preview: Preview) -> str:
    """Return a stack in a line."""
    if preview.failed:
        broken = sum(one.level == "mandatory" for one in preview.violations)
        return f"the preview failed with exit code {preview.code}{_broken(broken)}"
    counts = preview.counts
    told = [f"{counts[one]} {DONE[one]}" for one in ORDER if one in counts]
    if set(counts) <= {"same"}:
        return f"nothing changes ({several(counts.get('same', 0), 'resource')})"
    return ", ".join(told)


def _broken(count: int) -> str:
    return f", {count} time{'s' if count > 1 else ''} a mandatory policy is not kept" if count else ""


def several(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def by_kind(changes: Iterable[Change]) -> dict[str, dict[Operation, int]]:
    """Return how many resources of each kind an operation is on, the kinds with the most dangerous one first."""
    found: dict[str, dict[Operation, int]] = {}
    for change in changes:
        counts = found.setdefault(change.kind, {})
        counts[change.operation] = counts.get(change.operation, 0) + 1
    worst = {kind: min(map(ORDER.index, counts)) for kind, counts in found.items()}
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: (worst[kind], kind))}


def level(found: str) -> str:
    """Return a policy's level, of those that there are."""
    return found if found in LEVELS else "policy"


def cost(found: Cost) -> str:
    """Return the money a month before and after, and the difference."""
    unit = "".join(letter for letter in found.currency if letter.isalpha())
    told = money(found, unit)
    if found.before == found.after:
        return f"{told} a month, as before"
    return f"{told} a month{change(found)}"


def money(found: Money, unit: str = "") -> str:
    """Return money before and after, once where it is the same."""
    before, after = (
        "not known" if one is None else f"{one:,.2f} {unit}".strip() for one in (found.before, found.after)
    )
    return after if found.before == found.after else f"{before} → {after}"


def change(found: Money) -> str:
    """Return by how much money changes; empty where it does not, or that is not known."""
    if found.before is None or found.after is None or found.before == found.after:
        return ""
    return f" ({found.after - found.before:+,.2f})"
