"""The versions of a model that stacks ran: from the states, which every backend keeps, and the engine's history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops.engine import Engine
from ops.model_images import ModelImage

MOST_UPDATES = 500
SUCCEEDED = "succeeded"
# When a stack took the version that a record read anew from the registry is of, nobody knows any more.
LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Update:
    """One update of a stack in the engine's history; `commit` is empty where the project is no clone."""

    began: datetime
    ended: datetime | None
    result: str
    commit: str
    dirty: bool
    author: str
    message: str

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Update:
        """Return what `pulumi stack history --json` says of one."""
        about = told.get("environment") or {}
        return cls(
            began=_moment(told["startTime"]),
            ended=_moment(told["endTime"]) if told.get("endTime") else None,
            result=str(told.get("result") or "in-progress"),
            commit=str(about.get("git.head") or ""),
            dirty=about.get("git.dirty") == "true",
            author=str(about.get("git.author") or ""),
            message=str(told.get("message") or ""),
        )


@dataclass(frozen=True)
class Version:
    """One image while a stack ran it: from `began` until the next took over, None where it runs now (UTC).

    `update` is the one that took it; None where the engine's history knows none of that time. `served` is whether an
    update of its time succeeded, None where that is not known.
    """

    stack: str
    digest: str
    inputs: str
    began: datetime
    until: datetime | None
    by: str
    update: Update | None
    served: bool | None


def updates(engine: Engine) -> list[Update]:
    """Return the updates of a stack, the latest first; raises EngineError."""
    told = json.loads(engine.on_stack("stack", "history", "--json", "--page-size", str(MOST_UPDATES)))
    return [Update.parse(one) for one in told if one.get("kind") == "update"]


def versions(stack: str, image: ModelImage, known: Sequence[Update]) -> list[Version]:
    """Return every version in the state of a stack, the latest first."""
    found: list[Version] = []
    until: datetime | None = None
    only: list[dict[str, Any]] = [{"digest": image.digest, "inputs": image.inputs, "at": ""}]
    for one in image.values.get("versions") or only:
        began = _moment(one["at"]) if one["at"] else LONG_AGO
        taken = next((each for each in known if _spans(each, began)), None)
        served = _served(known, began, until)
        found.append(
            Version(stack, one["digest"], one["inputs"], began, until, str(one.get("by") or ""), taken, served)
        )
        until = began
    return found


def past(found: Sequence[Version]) -> list[Version]:
    """Return one version a digest, by when the stack first had it, the latest first: a rollback makes none newer."""
    first = {one.digest: one.began for one in found}  # the oldest comes last, and stays
    last: dict[str, Version] = {}
    for one in found:
        last.setdefault(one.digest, one)
    return [last[digest] for digest in sorted(first, key=lambda digest: first[digest], reverse=True)]


def older(found: Sequence[Version]) -> list[Version]:
    """Return the versions before the one that runs, the latest first."""
    listed = past(found)
    now = next((at for at, one in enumerate(listed) if one.digest == found[0].digest), 0) if found else 0
    return listed[now + 1 :]


def _served(known: Sequence[Update], began: datetime, until: datetime | None) -> bool | None:
    """Return whether an update that ended while the version was the stack's succeeded."""
    ended = [one for one in known if one.ended is not None and one.ended >= began]
    own = [one.result for one in ended if until is None or (one.began < until and not _spans(one, until))]
    return any(result == SUCCEEDED for result in own) if own else None


def _spans(one: Update, moment: datetime) -> bool:
    return one.began <= moment and (one.ended is None or moment <= one.ended)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
