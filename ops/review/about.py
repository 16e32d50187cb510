"""What there is to say of review stacks, from the backend alone: no checkout of the pull request, no cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ops.engine import Engine, EngineError, State, pending, resources
from ops.holders import Holder, holders
from ops.review import names
from ops.review.mark import mark_of, outputs
from settings import ReviewSettings

RUNNING, UPDATING, FAILED, EXPIRED, UNKNOWN = "running", "updating", "failed", "expired", "unknown"
IMAGE = "modelstack:index:ModelImage"
AT_ONCE = 4


@dataclass(frozen=True)
class About:
    """One review stack, as scripts, lists and comments tell it; times are RFC 3339 in UTC, durations seconds."""

    stack: str
    pull_request: int
    state: str
    """`running`; `updating` while something holds it; `failed` or `expired`; `unknown` where it has no mark."""
    owner: str = ""
    created: str = ""
    expires: str = ""
    age_seconds: int = 0
    expires_in_seconds: int = 0
    """Less than 0 once it has expired."""
    namespace: str = ""
    endpoint: Mapping[str, str] = field(default_factory=dict)
    """Model → base URL."""
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Model → `digest` of its image and `recipe`."""

    def values(self) -> dict[str, Any]:
        """Return it for a program."""
        return asdict(self)


@dataclass(frozen=True)
class Listed:
    """A review stack as the backend lists it."""

    name: str
    """With its organization, where the backend has those."""
    number: int
    in_progress: bool


def listed(aside: Engine) -> list[Listed]:
    """Return the stacks of the project whose name is a review stack's, by pull request; raises EngineError."""
    found = json.loads(aside.run("stack", "ls", "--json"))
    numbers = ((one, names.number_of(one["name"])) for one in found)
    named = [Listed(one["name"], number, bool(one.get("updateInProgress"))) for one, number in numbers if number]
    return sorted(named, key=lambda one: one.number)


def living(engine: Engine, backend: str | None = None) -> list[Holder]:
    """Return the processes that hold a stack and may live; `backend` is its URL where that is known already."""
    held = holders(backend or engine.backend(), engine.project_name, engine.stack)
    return [one for one in held if one.may_live()]


def last_result(aside: Engine) -> str:
    """Return how the stack's last update ended; empty where none has."""
    updates = json.loads(aside.on_stack("stack", "history", "--json", "--page-size", "1"))
    return str(updates[0]["result"]) if updates else ""


def describe(aside: Engine, now: datetime, *, in_progress: bool = False, backend: str | None = None) -> About:
    """Return what there is to say of a review stack that exists, its endpoint and end among it; raises EngineError."""
    state, short = aside.export(), aside.stack.rpartition("/")[2]
    mark, number = mark_of(state), names.number_of(short) or 0
    held = in_progress or bool(living(aside, backend))
    if mark is None:
        return About(short, number, UPDATING if held else UNKNOWN, models=_models(state))
    created, expires = names.read(mark.created), names.read(mark.expires)
    return About(
        stack=short,
        pull_request=number,
        state=_state(aside, state, mark, now, held=held),
        owner=mark.owner,
        created=mark.created,
        expires=mark.expires,
        age_seconds=int((now - created).total_seconds()),
        expires_in_seconds=int((expires - now).total_seconds()),
        namespace=mark.namespace,
        endpoint={str(name): str(url) for name, url in (outputs(state).get("endpoint") or {}).items()},
        models=_models(state),
    )


def describe_all(aside: Engine, now: datetime) -> list[About]:
    """Return every review stack of the project; raises EngineError where they cannot be listed."""

    backend = aside.backend()

    def one(found: Listed) -> About:
        engine = Engine(aside.project, found.name, aside.environment)
        try:
            return describe(engine, now, in_progress=found.in_progress, backend=backend)
        except EngineError:
            # It may have been taken down meanwhile; the others are told all the same.
            return About(found.name.rpartition("/")[2], found.number, UNKNOWN)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, listed(aside)))


def _state(aside: Engine, state: State, mark: ReviewSettings, now: datetime, *, held: bool) -> str:
    if held:
        return UPDATING
    if names.read(mark.expires) <= now:
        return EXPIRED
    return RUNNING if not pending(state) and last_result(aside) == "succeeded" else FAILED


def _models(state: State) -> dict[str, dict[str, str]]:
    images = [one for one in resources(state) if one["type"] == IMAGE and not one.get("delete")]
    told = {str(one["urn"]).rpartition("::")[2]: one.get("outputs") or {} for one in images}
    wanted = ("digest", "recipe")
    return {name: {key: str(one[key]) for key in wanted} for name, one in sorted(told.items()) if one.get("digest")}
