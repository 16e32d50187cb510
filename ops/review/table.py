"""Review stacks as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ops.review.about import About

HEAD = ("PR", "OWNER", "STATE", "AGE", "EXPIRES IN", "MODELS", "ENDPOINT")
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SHOWN = len("sha256:") + 12


def rows(found: Sequence[About]) -> Iterator[str]:
    """Yield one line a model of each stack, below a head."""
    table = [HEAD, *(row for one in found for row in _rows(one))]
    widths = [max(len(row[at]) for row in table) for at in range(len(HEAD))]
    for row in table:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def duration(seconds: int) -> str:
    """Return a duration in its largest unit, rounded down; of one that is over the time since."""
    if seconds < 0:
        return f"{duration(-seconds)} ago"
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds // size}{unit}"


def _rows(one: About) -> Iterator[tuple[str, ...]]:
    known = bool(one.expires)
    times = (duration(one.age_seconds), duration(one.expires_in_seconds)) if known else ("?", "?")
    first = (str(one.pull_request), one.owner or "?", one.state, *times)
    models = sorted(set(one.models) | set(one.endpoint)) or [""]
    for at, name in enumerate(models):
        digest = one.models.get(name, {}).get("digest", "")[:_SHOWN]
        shown = first if at == 0 else ("",) * len(first)
        yield (*shown, f"{name} {digest}".strip(), one.endpoint.get(name, ""))
