"""Takes a review stack down, so that nothing of it is left: objects, images, tags, key, state and history."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from model_build.errors import RegistryError
from ops import recover
from ops.engine import Engine, EngineError, State, pending, resources
from ops.gc import find, named, removed
from ops.holders import holders
from ops.review.about import IMAGE, living
from ops.review.guard import RefusedError
from ops.review.workplace import NONE, Workplace, streamed
from ops.stack import forget
from provider.registry import Repository

Say = Callable[[str], None]


class HeldError(Exception):
    """A process that lives holds the stack; the message names it on one line."""


def refuse_held(engine: Engine, backend: str | None = None) -> None:
    """Raise HeldError where a process that may live holds the stack."""
    for one in living(engine, backend):
        raise HeldError(f"stack {engine.stack}: is held by {one}; let it end, then run this again")


def remove(place: Workplace, stack: str, say: Say) -> None:
    """Destroy a stack that was made sure of, and forget it; raises EngineError, RegistryError, RefusedError."""
    engine, aside = place.inside(stack, NONE), place.aside(stack)
    recover_if_killed(engine, say)
    state = aside.export()
    sweep(state, place.project)
    blobs = {one: one.blobs() for one in _repositories(state, place.project)}
    say(f"stack {stack}: is destroyed")
    streamed(engine, "destroy", "--yes", "--skip-preview")
    for repository, named_in in blobs.items():
        repository.unlink(named_in)
    drop(aside)


def drop(aside: Engine) -> None:
    """Remove a stack that has no resources, and what its backend keeps of it; raises EngineError."""
    aside.run("stack", "rm", aside.stack, "--yes", "--preserve-config")
    forget(Engine(aside.project, aside.stack.rpartition("/")[2], aside.environment))


def recover_if_killed(engine: Engine, say: Say) -> None:
    """Bring the state of a stack whose engine was killed in line; raises EngineError, RefusedError."""
    locks = holders(engine.backend(), engine.project_name, engine.stack)
    if not locks and not pending(engine.export()):
        return
    say(f"stack {engine.stack}: its engine was killed; its state is brought in line first")
    try:
        recover.recover(engine, say)
    except recover.RefusedError as error:
        raise RefusedError(str(error)) from error


def on_platform(project: Path, *command: str) -> None:
    """Run a command of the embedded platform; raises EngineError."""
    run = [sys.executable, "-m", "local", *command]
    done = subprocess.run(run, cwd=project, stdout=sys.stderr, check=False)
    if done.returncode:
        raise EngineError(f"`python -m local {' '.join(command)}` ended with exit code {done.returncode}; see above")


def sweep(state: State, project: Path) -> None:
    """Remove what builds left in the stack's repositories that it does not hold: those of a killed `up`.

    It comes before the destroy, which lets go of the rest: afterwards no state would name the repositories.
    """
    in_states = partial(named, [state])
    for place in _repositories(state, project):
        for _ in removed([place], find(place, in_states), in_states):
            pass


def _repositories(state: State, project: Path) -> list[Repository]:
    """Return the repositories of a stack's images, which are its own."""
    recorded = [*resources(state), *(one["resource"] for one in pending(state))]
    images = [one.get("inputs") or {} for one in recorded if one["type"] == IMAGE]
    places = {(str(one["push"]), str(one["repository"]), one.get("dockerConfig")) for one in images}
    return [Repository(*place, project) for place in sorted(places, key=str)]


FAILURES = (EngineError, RegistryError)
