"""Brings the stack of a pull request up, or renews it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ops import policies
from ops import stack as stacks
from ops.engine import Engine, EngineError, State, environment, is_embedded, resources
from ops.review import config, keys, names
from ops.review.about import About, describe
from ops.review.guard import RefusedError, cluster_of, require_own
from ops.review.mark import marked
from ops.review.remove import Say, recover_if_killed, refuse_held
from ops.review.workplace import Workplace, streamed, workplace
from settings import ReviewSettings


@dataclass(frozen=True)
class Asked:
    """A pull request, who is asked about its stack, how long it is to live, and whose settings it takes."""

    number: int
    owner: str | None
    life: timedelta
    source: str

    @property
    def stack(self) -> str:
        """The stack's name."""
        return names.stack_of(self.number)


def bring_up(project: Path, asked: Asked, say: Say) -> About:
    """Make or update the stack and return what there is to say of it.

    Raises EngineError, RefusedError before anything is changed, HeldError, UsageError.
    """
    judged_by = policies.packs(project)  # where they cannot be had that is told before anything is made
    if is_embedded(project, asked.source) and stacks.start(project, asked.source):
        raise EngineError("the embedded platform could not be started; see above")
    with workplace(project, environment(project, asked.source)) as place:
        source, aside = config.read(project, asked.source), place.aside(asked.stack)
        before = _existing(aside)
        mark = _mark(place, asked, source, before)
        if before is None:
            _create(aside, source)
        if not before or not resources(before):
            aside.replace_state(marked(aside.export(), place.name, asked.stack, mark))
        _up(place, asked, config.document(source, mark, _pins(place, source)), judged_by, say)
        return describe(aside, datetime.now(UTC))


def _existing(aside: Engine) -> State | None:
    if not stacks.exists(aside):
        return None
    refuse_held(aside)
    return aside.export()


def _mark(place: Workplace, asked: Asked, source: config.Source, before: State | None) -> ReviewSettings:
    """Return the mark that the stack is to have; raises RefusedError where one of that name is another's."""
    now = datetime.now(UTC)
    cluster = cluster_of(source.kubeconfig, source.here.context)
    old = require_own(before, asked.stack, place.name) if before and resources(before) else None
    if old is not None and old.cluster != cluster:
        raise RefusedError(
            f"stack {asked.stack}: is in cluster {old.cluster}, the settings of {source.stack} lead to {cluster}; run "
            f"`python -m ops review down {asked.number}` where it leads to that one first"
        )
    return ReviewSettings(
        pull_request=asked.number,
        owner=names.owner(asked.owner) if asked.owner or old is None else old.owner,
        created=old.created if old else names.written(now),
        expires=names.written(now + asked.life),
        project=place.name,
        namespace=f"{place.name}-{asked.stack}",
        cluster=cluster,
        registry=f"{source.here.registry.push}/{source.prefix(asked.number)}",
        source=source.stack,
    )


def _create(aside: Engine, source: config.Source) -> None:
    provider = source.secrets_provider
    encrypted = ("--secrets-provider", provider) if provider else ()
    aside.run("stack", "init", aside.stack, "--no-select", *encrypted)


def _pins(place: Workplace, source: config.Source) -> dict[str, str]:
    """Return what the source stack has pinned; nothing where it was never up, or in another backend."""
    engine = place.aside(source.stack)
    return config.pins_of(engine.export()) if stacks.exists(engine) else {}


def _up(place: Workplace, asked: Asked, document: dict[str, object], judged_by: list[str], say: Say) -> None:
    pair = keys.pair_of(place.aside(asked.stack))
    engine = place.inside(asked.stack, document, **pair.variables)
    recover_if_killed(engine, say)
    keys.keep(place.aside(asked.stack), place.settings, pair)
    streamed(engine, "up", "--yes", "--skip-preview", *judged_by)
