"""Previews as one Markdown text for GitHub and GitLab: what can hurt first, the rest folded, never above the limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ops.previews import figures, words
from ops.previews.escaping import block as code_block
from ops.previews.escaping import code, shortened
from ops.previews.facts import Change, Message, Model, Preview, Previews, Violation
from ops.previews.fitting import Block, Item, fit

LIMIT = 65_536  # characters of a comment on GitHub; GitLab takes a million
MODELS_IN_FULL = 3
LONGEST_ERROR = 4000
OVERVIEW = "| model | | digest | quality | p50 | size | new in its image | why |\n|---|---|---|---|---|---|---|---|\n"
# What is left out last has the lowest.
_FAILED, _DANGER, _REFUSED, _MODEL, _WARNED, _KIND, _ADVISED, _CARD, _CHANGED, _SAID = range(10)


def marker(name: str) -> str:
    """Return the line, unseen by readers, by which a comment is found again."""
    return f"<!-- modelstack preview {name} -->"


def markdown(told: Previews, limit: int = LIMIT) -> str:
    """Return previews as Markdown of at most `limit` characters."""
    head = Block(f"{marker(told.name)}\n{_title(told)}\n")
    blocks = [head, *(one for preview in told.previews for one in _stack(preview))]
    found = fit(blocks, limit) or fit([head, _stacks_alone(told.previews)], limit)
    if found is None:
        raise ValueError(f"limit: {limit} holds no comment; give {LIMIT}")
    return found


def _title(told: Previews) -> str:
    commit = f" of `{told.commit[:12]}`" if told.commit else ""
    return f"## Preview{commit}"


def _stacks_alone(previews: Sequence[Preview]) -> Block:
    items = tuple(
        Item(f"- {code(one.stack)}: {words.summary(one)}\n", _FAILED if one.failed else _CHANGED) for one in previews
    )
    return Block("Too much for one comment; each stack in a line:\n\n", items, noun="stack")


def _stack(preview: Preview) -> Iterator[Block]:
    yield Block(f"### {code(preview.stack)}: {words.summary(preview)}\n")
    if preview.notice:
        yield Block(f"{code(preview.notice)}\n")
    if preview.is_quiet:
        return
    yield from _failure(preview)
    yield from _danger(preview)
    yield from _models(preview)
    yield from _policies(preview)
    yield from _cost(preview)
    yield from _warnings(preview)
    yield from _kinds(preview)
    yield from _others(preview)
    yield from _infos(preview)


def _failure(preview: Preview) -> Iterator[Block]:
    errors = [one for one in preview.messages if one.severity == "error"]
    if preview.reason:
        errors.append(Message(severity="error", text=preview.reason))
    if errors:
        yield Block("**Errors**\n", tuple(_error(one) for one in errors), noun="error")
    if preview.failed and preview.changes:
        yield Block("What follows was known until then.\n")


def _error(message: Message) -> Item:
    left_out = len(message.text) - LONGEST_ERROR
    note = f"_{left_out:,} characters before it are left out._\n\n" if left_out > 0 else ""
    of = f"{_resource(message.kind, message.name)}\n\n" if message.name else ""
    # The last lines of an error say what was wrong.
    return Item(f"\n{of}{note}{code_block(message.text[-LONGEST_ERROR:])}\n", _FAILED)


def _danger(preview: Preview) -> Iterator[Block]:
    found = [one for one in preview.changes if one.operation in ("replace", "delete")]
    if found:
        ordered = sorted(found, key=lambda one: one.operation == "delete")
        items = tuple(Item(f"- {_changed(one)}\n", _DANGER) for one in ordered)
        yield Block("**Replaced and deleted**\n\n", items, noun="replaced or deleted resource")


def _changed(change: Change) -> str:
    told = f"**{change.operation}** {_resource(change.kind, change.name)}"
    paths = change.replaces or change.paths
    if change.operation == "create" or not paths:
        return told
    return f"{told}: {code(shortened(', '.join(paths), 200))}"


def _resource(kind: str, name: str) -> str:
    return f"{code(kind)} {code(name)}"


def _models(preview: Preview) -> Iterator[Block]:
    changing = [one for one in preview.models if one.changes]
    if not changing:
        return
    stay = len(preview.models) - len(changing)
    title = f"**Models**{f' ({stay} more the same)' if stay else ''}\n"
    cards = tuple(Item(_card(one), _CARD if len(changing) > MODELS_IN_FULL else _MODEL) for one in changing)
    if len(changing) <= MODELS_IN_FULL:
        yield Block(title, cards, noun="model")
        return
    yield Block(f"{title}\n{OVERVIEW}", tuple(Item(_row(one), _MODEL) for one in changing), noun="model")
    yield Block(_fold(f"{len(cards)} models, figure by figure"), cards, "\n</details>\n", noun="model")


def _row(model: Model) -> str:
    quality = "accuracy" if figures.change(model, "accuracy") else "cosine"
    cells = [code(model.name, 64), model.operation, _digests(model)]
    cells += [figures.change(model, figure) for figure in (quality, "latency_ms", "size")]
    cells += [figures.new_in_image(model), code("; ".join(model.why), 80) if model.why else ""]
    return f"| {' | '.join(cells)} |\n"


def _card(model: Model) -> str:
    why = f", because {code('; '.join(model.why), 600)}" if model.why else ""
    head = f"\n{code(model.name)} is {words.DONE[model.operation]}: {_digests(model)}{why}\n"
    if model.operation == "delete":
        return head
    lines = [
        f"| {row.title} | {row.runs} | {row.will_run} | {row.change} | {row.limit} |\n" for row in figures.rows(model)
    ]
    return f"{head}\n| | runs | will run | change | gate |\n|---|---|---|---|---|\n{''.join(lines)}"


def _digests(model: Model) -> str:
    told = [figures.short(side) for side in (model.runs, model.will_run)]
    if told[0] == told[1]:
        return f"{told[0]} stays"
    return " → ".join(told)


def _policies(preview: Preview) -> Iterator[Block]:
    asked = "; ".join(
        f"{code(' '.join((one.name, one.version)))} {one.kept} of {one.asked} kept" for one in preview.packs
    )
    yield Block(f"**Policies**: {asked or 'none ran'}\n")
    if preview.violations:
        ordered = sorted(preview.violations, key=lambda one: one.level != "mandatory")
        yield Block("", tuple(_violation(one) for one in ordered), noun="policy result")


def _violation(violation: Violation) -> Item:
    of = f" on {_resource(violation.kind, violation.name)}" if violation.name else ""
    told = f"{code(violation.policy)} of {code(violation.pack)}{of}: {code(violation.message)}"
    mandatory = violation.level == "mandatory"
    return Item(f"- **{words.level(violation.level)}** {told}\n", _REFUSED if mandatory else _ADVISED)


def _cost(preview: Preview) -> Iterator[Block]:
    found = preview.cost
    if found is None:
        return
    shares = [
        Item(f"- {code(name)}: {words.money(one)}{words.change(one)}\n", _CARD) for name, one in found.models.items()
    ]
    yield Block(f"**Cost**: {words.cost(found)}\n")
    if shares:
        yield Block("Of that, by what models request:\n\n", tuple(shares), noun="share of a model")
    if found.not_counted:
        items = tuple(Item(f"- {code(one, 200)}\n", _SAID) for one in found.not_counted)
        yield Block(_fold("Not counted in the cost"), items, "\n</details>\n", noun="kind that is not counted")


def _warnings(preview: Preview) -> Iterator[Block]:
    items = tuple(Item(_said(one), _WARNED) for one in preview.messages if one.severity == "warning")
    if items:
        yield Block("**Warnings**\n\n", items, noun="warning")


def _said(message: Message) -> str:
    of = f"{_resource(message.kind, message.name)}: " if message.name else ""
    return f"- {of}{code(message.text, 600)}\n"


def _kinds(preview: Preview) -> Iterator[Block]:
    columns = [one for one in words.ORDER if one in preview.counts]
    rows = words.by_kind(preview.changes)
    if set(columns) <= {"same"}:
        return
    head = f"| kind | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n"
    items = tuple(
        Item(f"| {code(kind)} | {' | '.join(str(found.get(one) or '') for one in columns)} |\n", _KIND)
        for kind, found in rows.items()
    )
    yield Block(
        _fold(f"{words.several(len(preview.changes), 'resource')} by kind") + head,
        items,
        "\n</details>\n",
        noun="kind",
    )


def _others(preview: Preview) -> Iterator[Block]:
    found = [one for one in preview.changes if one.operation not in ("replace", "delete", "same")]
    if found:
        items = tuple(Item(f"- {_changed(one)}\n", _CHANGED) for one in found)
        yield Block(
            _fold(f"{words.several(len(found), 'other change')} by name"), items, "\n</details>\n", noun="change"
        )


def _infos(preview: Preview) -> Iterator[Block]:
    items = tuple(Item(_said(one), _SAID) for one in preview.messages if one.severity == "info")
    if items:
        yield Block(_fold(words.several(len(items), "message")), items, "\n</details>\n", noun="message")


def _fold(summary: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n"
