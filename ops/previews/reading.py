"""The engine's event log, one JSON object a line, read into what a preview found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.events import Event, of_log
from ops.previews.facts import Change, Cost, Message, Model, Money, Operation, Pack, Preview, Severity, Violation
from ops.previews.models import KIND, model
from ops.previews.secrets import Secrets

STACK = "pulumi:pulumi:Stack"
SHOWN: tuple[Severity, ...] = ("error", "warning", "info")
# One replacement is three steps of the engine or more.
OPERATIONS: dict[str, Operation] = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "same": "same",
    "read": "read",
    "refresh": "refresh",
    "import": "import",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "read-replacement": "replace",
    "import-replacement": "replace",
    "discard-replaced": "replace",
}
_STEPS = ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent")
_ENDS_OF_REPLACED = ("delete-replaced", "discard-replaced")
_NAMES = ("urn", "keys", "diffs", "detailedDiff")
_COLOUR = re.compile(r"<\{%[^%]*%\}>")


def events_of(log: Path) -> Iterator[Event]:
    """Yield the events of a log that are for people."""
    return filter(_counts, of_log(log))


def _counts(event: Event) -> bool:
    told = event.get("diagnosticEvent")
    return told is None or (_severity(told) in SHOWN and not told.get("ephemeral"))


def _severity(told: Mapping[str, Any]) -> Any:
    # What a program writes to standard error is `info#err`.
    return told.get("severity", "").partition("#")[0]


def read(stack: str, code: int, events: Iterable[Event], secrets: Secrets, last_words: str = "") -> Preview:
    """Return what a preview found; `last_words` are told where no event says why it failed."""
    kept = list(events)
    told = [_without(secrets, step) for step in _steps(kept)]
    others = [secrets.hidden(event) for event in kept if not _step(event)]
    messages = tuple(_messages(others))
    explained = not code or any(one.severity == "error" for one in messages)
    return Preview(
        stack=stack,
        code=code,
        reason="" if explained else secrets.hidden(last_words.strip()),
        changes=tuple(map(_change, told)),
        models=tuple(_model(step, secrets) for step in told if step["type"] == KIND),
        packs=tuple(_packs(others)),
        violations=tuple(dict.fromkeys(_violations(others))),
        messages=messages,
        cost=_cost((step for step in told if step["type"] == STACK), secrets),
    )


def name_of(urn: str) -> str:
    """Return a resource's name; names hold `::` too."""
    return urn.split("::", 3)[-1]


def kind_of(urn: str) -> str:
    """Return a resource's type without those of its parents."""
    parts = urn.split("::", 3)
    return parts[2].rpartition("$")[2] if len(parts) == 4 else ""


def _step(event: Event) -> Event | None:
    found = next((event[name]["metadata"] for name in _STEPS if name in event), None)
    return dict(found) if found else None


def _steps(events: Iterable[Event]) -> list[Event]:
    """Return what is told last of each resource; of one that is replaced the step that has both sides."""
    found: dict[str, Event] = {}
    for step in filter(None, map(_step, events)):
        if _is_default_provider(step) or (step["urn"] in found and step["op"] in _ENDS_OF_REPLACED):
            continue
        found[step["urn"]] = step
    return list(found.values())


def _without(secrets: Secrets, step: Event) -> Event:
    """Return a step whose names hold no secret; values of properties are not told, but those that a model has."""
    return {**step, **{key: secrets.hidden(step[key]) for key in _NAMES if key in step}}


def _is_default_provider(step: Mapping[str, Any]) -> bool:
    return step["type"].startswith("pulumi:providers:") and name_of(step["urn"]).startswith("default")


def _model(step: Event, secrets: Secrets) -> Model:
    found = model(name_of(step["urn"]), _operation(step), step)
    return found.model_copy(update={"why": tuple(map(secrets.hidden, found.why))})


def _operation(step: Mapping[str, Any]) -> Operation:
    return OPERATIONS.get(step["op"], "other")


def _change(step: Mapping[str, Any]) -> Change:
    return Change(
        kind=step["type"],
        name=name_of(step["urn"]),
        operation=_operation(step),
        paths=tuple(step.get("detailedDiff") or step.get("diffs") or ()),
        replaces=tuple(step.get("keys") or ()),
    )


def _messages(events: Iterable[Event]) -> Iterator[Message]:
    for event in events:
        told = event.get("diagnosticEvent")
        text = _COLOUR.sub("", told["message"]).strip() if told else ""
        if told and text:
            urn = told.get("urn", "")
            yield Message(severity=_severity(told), text=text, kind=kind_of(urn), name=name_of(urn))


def _violations(events: Iterable[Event]) -> Iterator[Violation]:
    for event in events:
        told = event.get("policyEvent") or event.get("policyRemediationEvent")
        if told:
            urn = told.get("resourceUrn", "")
            yield Violation(
                policy=told["policyName"],
                pack=told["policyPackName"],
                level=told.get("enforcementLevel", "remediate"),
                kind=kind_of(urn),
                name=name_of(urn),
                message=_COLOUR.sub("", told.get("message") or "the pack changes it").strip(),
            )


def _packs(events: Iterable[Event]) -> Iterator[Pack]:
    passed: dict[tuple[str, str], set[str]] = {}
    failed: dict[tuple[str, str], set[str]] = {}
    for event in events:
        for name in ("policyAnalyzeSummaryEvent", "policyAnalyzeStackSummaryEvent"):
            told = event.get(name)
            if told:
                pack = (told["policyPackName"], told.get("policyPackVersionTag") or told.get("policyPackVersion") or "")
                passed.setdefault(pack, set()).update(told.get("passed") or ())
                failed.setdefault(pack, set()).update(told.get("failed") or ())
    for (name, version), kept in passed.items():
        missed = failed[name, version]
        yield Pack(name=name, version=version, kept=len(kept - missed), asked=len(kept | missed))


def _cost(stacks: Iterable[Mapping[str, Any]], secrets: Secrets) -> Cost | None:
    for step in stacks:
        sides = [
            secrets.hidden(((step.get(side) or {}).get("outputs") or {}).get("cost", {})) for side in ("old", "new")
        ]
        before, after = map(_monthly, sides)
        if before is not None or after is not None:
            units = [one["currency"] for one in reversed(sides) if isinstance(one, dict) and "currency" in one]
            currency = str((units or [""])[0])[:16]
            return Cost(
                before=before,
                after=after,
                currency=currency,
                models=_of_models(*sides),
                not_counted=_not_counted(sides),
            )
    return None


def _of_models(old: object, new: object) -> dict[str, Money]:
    before, after = ({name: _monthly(one) for name, one in _mapping(side, "models").items()} for side in (old, new))
    return {name: Money(before=before.get(name), after=after.get(name)) for name in sorted({*before, *after})}


def _not_counted(sides: Sequence[object]) -> tuple[str, ...]:
    last = next((side for side in reversed(sides) if isinstance(side, dict)), {})
    found = last.get("notCounted")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _mapping(cost: object, key: str) -> dict[str, Any]:
    found = cost.get(key) if isinstance(cost, dict) else None
    return found if isinstance(found, dict) else {}


def _monthly(cost: object) -> float | None:
    value = cost.get("monthly") if isinstance(cost, dict) else cost
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
