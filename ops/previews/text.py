"""Previews as plain text for terminals and logs: the same order as in Markdown, nothing folded or left out."""

from __future__ import annotations

from collections.abc import Iterator

from ops.previews import figures, words
from ops.previews.escaping import shortened, visible
from ops.previews.facts import Change, Message, Model, Preview, Previews

_CODE = str.maketrans("", "", "`")


def text(told: Previews) -> str:
    """Return previews as text; letters that would move a terminal's cursor are told by number."""
    commit = f" of {told.commit[:12]}" if told.commit else ""
    lines = [f"Preview{commit}", *(line for preview in told.previews for line in _stack(preview))]
    return "\n".join(lines) + "\n"


def _stack(preview: Preview) -> Iterator[str]:
    yield ""
    yield f"{visible(preview.stack)}: {words.summary(preview)}"
    if preview.notice:
        yield f"  {visible(preview.notice)}"
    if preview.is_quiet:
        return
    errors = [one for one in preview.messages if one.severity == "error"]
    yield from _messages("errors", [*errors, *_reason(preview)])
    dangers = [one for one in preview.changes if one.operation in ("replace", "delete")]
    yield from _titled("replaced and deleted", [_change(one) for one in dangers])
    yield from _titled("models", [line for one in preview.models if one.changes for line in _model(one)])
    yield from _policies(preview)
    if preview.cost is not None:
        yield f"  cost: {words.cost(preview.cost)}"
        for name, one in preview.cost.models.items():
            yield f"    of that {visible(name)}: {words.money(one)}{words.change(one)}"
        yield from (f"    not counted: {visible(one)}" for one in preview.cost.not_counted)
    yield from _messages("warnings", [one for one in preview.messages if one.severity == "warning"])
    yield from _titled("resources by kind", list(_kinds(preview)))
    others = [one for one in preview.changes if one.operation not in ("replace", "delete", "same")]
    yield from _titled("other changes", [_change(one) for one in others])
    yield from _messages("messages", [one for one in preview.messages if one.severity == "info"])


def _titled(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"  {title}:"
        yield from (f"    {line}" for line in lines)


def _reason(preview: Preview) -> Iterator[Message]:
    if preview.reason:
        yield Message(severity="error", text=preview.reason)


def _messages(title: str, messages: list[Message]) -> Iterator[str]:
    lines = []
    for one in messages:
        first, *further = visible(one.text, lines=True).splitlines() or [""]
        of = f"{visible(one.kind)} {visible(one.name)}: " if one.name else ""
        lines += [f"{of}{first}", *(f"  {line}" for line in further)]
    yield from _titled(title, lines)


def _change(change: Change) -> str:
    told = f"{change.operation:<8} {visible(change.kind)} {visible(change.name)}"
    paths = change.replaces or change.paths
    return told if change.operation == "create" or not paths else f"{told}: {shortened(visible(', '.join(paths)), 200)}"


def _model(model: Model) -> Iterator[str]:
    digests = " → ".join(dict.fromkeys(figures.short(side) for side in (model.runs, model.will_run)))
    why = f", because {visible('; '.join(model.why))}" if model.why else ""
    yield f"{visible(model.name)} is {words.DONE[model.operation]}: {digests}{why}".translate(_CODE)
    if model.operation == "delete":
        return
    for row in figures.rows(model):
        sides = " → ".join(dict.fromkeys(one for one in (row.runs, row.will_run) if one))
        further = "".join(f" ({one})" for one in (row.change, row.limit) if one)
        yield f"  {row.title:<20} {sides}{further}".translate(_CODE)


def _policies(preview: Preview) -> Iterator[str]:
    packs = (f"{visible(one.name)} {visible(one.version)} {one.kept} of {one.asked} kept" for one in preview.packs)
    yield f"  policies: {'; '.join(packs) or 'none ran'}"
    for one in sorted(preview.violations, key=lambda found: found.level != "mandatory"):
        of = f" on {visible(one.kind)} {visible(one.name)}" if one.name else ""
        yield f"    {words.level(one.level)} {visible(one.policy)} of {visible(one.pack)}{of}: {visible(one.message)}"


def _kinds(preview: Preview) -> Iterator[str]:
    for kind, counts in words.by_kind(preview.changes).items():
        told = ", ".join(f"{counts[one]} {words.DONE[one]}" for one in words.ORDER if one in counts)
        yield f"{visible(kind)}: {told}"
