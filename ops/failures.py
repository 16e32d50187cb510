"""Why an `up` failed, from the engine's own events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ops.messages import Event

MODEL_IMAGE, PROMOTION = "modelstack:index:ModelImage", "modelstack:index:Promotion"
UNTOLD = "the engine gave no reason; see the output of the command"


def happened(events: Sequence[dict[str, Any]]) -> bool:
    """Return whether a command whose exit code is not 0 failed: where all it began succeeded, a person declined."""
    results = [one["summaryEvent"].get("result") for one in events if "summaryEvent" in one]
    return not results or results[-1] != "succeeded"


def event_of(command: str, events: Sequence[dict[str, Any]]) -> Event:
    """Return what is told of a command that failed: the errors of resources, and the images it was about."""
    told = [one["diagnosticEvent"] for one in events if "diagnosticEvent" in one]
    errors = [one for one in told if one["severity"] == "error" and str(one["message"]).strip()]
    # What the engine says of itself only repeats that one of them failed.
    named = [one for one in errors if one.get("urn") and not _is_of(one, "pulumi:pulumi:Stack")] or errors
    said = [*named, *(one["policyEvent"] for one in events if _is_violation(one))]
    reasons = dict.fromkeys(" ".join(str(one["message"]).split()) for one in said)
    kind = "canary-refused" if any(_is_of(one, PROMOTION) for one in named) else f"{command}-failed"
    return Event(kind, "; ".join(reasons) or UNTOLD, dict(_images(events)))


def _is_violation(event: dict[str, Any]) -> bool:
    return str(event.get("policyEvent", {}).get("enforcementLevel")) == "mandatory"


def _is_of(diagnostic: dict[str, Any], kind: str) -> bool:
    return str(diagnostic.get("urn") or "").split("::")[2:3] == [kind] or f"${kind}::" in str(diagnostic.get("urn"))


def _images(events: Iterable[dict[str, Any]]) -> Iterable[tuple[str, str]]:
    for one in events:
        step = one.get("resOutputsEvent", {}).get("metadata") or {}
        if step.get("type") == MODEL_IMAGE and step.get("new"):
            digest = (step["new"].get("outputs") or {}).get("digest")
            if isinstance(digest, str):
                yield str(step["urn"]).rpartition("::")[2], digest
