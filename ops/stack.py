"""`python -m ops up|preview|destroy`: one engine command on one stack, with everything it needs started before it.

Where the stack names a kubeconfig the embedded platform is not touched.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import settings
from components import images
from ops import events, failures, policies, scratch
from ops.engine import Engine, EngineError, State, call, environment, is_embedded, own_settings, resources
from ops.holders import Holder, holders, state_folder
from ops.messages import Event
from ops.notify import is_asked_for, notify
from ops.teardown import ProtectedError, left, require_unprotected
from ops.unrecorded import NotLookedFor

FAILED, USAGE, REFUSED = 1, 2, 3
NOTIFIED = ("up", "destroy")


class NotStartedError(EngineError):
    """What a stack needs did not start and has said why; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"`python -m local up` ended with exit code {code}; its output says why")
        self.code = code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="default: dev")
    parser.add_argument("--yes", action="store_true", help="do not ask; the embedded platform's stacks never ask")
    parser.add_argument("rest", nargs="*", metavar="ARGUMENT", help="after `--`: further arguments of `pulumi`")


def up(arguments: argparse.Namespace) -> int:
    """Run `pulumi up` on a stack; the exit code is the engine's."""
    return _run("up", arguments)


def preview(arguments: argparse.Namespace) -> int:
    """Run `pulumi preview` of a stack; the exit code is the engine's."""
    return _run("preview", arguments)


def destroy(arguments: argparse.Namespace) -> int:
    """Run `pulumi destroy` of a stack and tell what is left; the exit code is the engine's."""
    return _run("destroy", arguments)


def _run(name: str, arguments: argparse.Namespace) -> int:
    project = Path.cwd()
    try:
        require_settings(project, arguments.stack)
        embedded = is_embedded(project, arguments.stack)
        if name == "destroy":
            return _destroy(project, arguments, embedded=embedded)
        if name == "preview":
            with previewing(project, arguments.stack) as found:
                return _pulumi(found.engine, name, yes=False, rest=[*found.arguments, *arguments.rest])
        rest = [*policies.packs(project), *arguments.rest]
        return _pulumi(opened(project, arguments.stack), name, yes=embedded or arguments.yes, rest=rest)
    except NotStartedError as error:
        return error.code
    except ProtectedError as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        if name in NOTIFIED:
            notify(Engine(project, arguments.stack, os.environ), Event(f"{name}-failed", str(error)))
        return FAILED


@dataclass(frozen=True)
class Previewing:
    """An engine for a stack's previews, what it is called with, and what a reader of them has to know."""

    engine: Engine
    arguments: tuple[str, ...]
    notice: str = ""


@contextlib.contextmanager
def previewing(project: Path, stack: str) -> Iterator[Previewing]:
    """Yield what previews a stack, judged by the policies; without its credentials a stack without a past.

    Raises EngineError.
    """
    require_settings(project, stack)
    judged_by = policies.packs(project)
    if not scratch.needed(project, stack):
        yield Previewing(opened(project, stack), tuple(judged_by))
        return
    with scratch.scratch(project, stack) as found:
        print(f"stack {stack}: {found.notice}", file=sys.stderr, flush=True)
        yield Previewing(found.engine, ("--config-file", str(found.config), *judged_by), found.notice)


def opened(project: Path, stack: str) -> Engine:
    """Return a stack's engine with everything started that the stack needs; raises EngineError."""
    require_settings(project, stack)
    embedded = is_embedded(project, stack)
    code = start(project, stack) if embedded else 0
    if code:
        raise NotStartedError(code)
    engine = Engine(project, stack, environment(project, stack))
    create_if_missing(engine)
    return engine


def _destroy(project: Path, arguments: argparse.Namespace, *, embedded: bool) -> int:
    engine = Engine(project, arguments.stack, environment(project, arguments.stack))
    # Asked first: nothing is started for a stack that there is none of.
    if not exists(engine):
        print(f"stack {arguments.stack!r} does not exist: nothing to destroy", flush=True)
        return 0
    state = engine.export(secrets=True)
    require_unprotected(engine, state, arguments.rest)
    code = _local(project, "up") if embedded else 0
    code = code or _pulumi(engine, "destroy", yes=embedded or arguments.yes, rest=arguments.rest)
    if code or resources(engine.export()):
        return code
    code = _tell_what_is_left(state, arguments.stack)
    if code or not embedded:
        return code
    engine.run("stack", "rm", arguments.stack, "--yes", "--preserve-config")
    forget(engine)
    print(f"stack {arguments.stack!r} is removed, its history with it", flush=True)
    return _local(project, "collect")


def _tell_what_is_left(state: State, stack: str) -> int:
    try:
        found = left(state, stack)
    except NotLookedFor as error:
        print(f"what is left of stack {stack}: not looked for ({error})", file=sys.stderr)
        return 0
    for one in found:
        print(f"left of stack {stack}: {one}; see what keeps it, then delete it", file=sys.stderr)
    if not found:
        print(f"nothing of stack {stack!r} is left in its cluster", flush=True)
    return FAILED if found else 0


def require_settings(project: Path, stack: str) -> None:
    """Raise EngineError where a stack has no settings in the project."""
    path = project / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.name.split(".")[1] for one in project.glob("Pulumi.*.yaml")))
        raise EngineError(f"STACK: {path.name} is no file; write it, or name one of {known}")


def exists(engine: Engine) -> bool:
    """Tell whether the backend knows the stack."""
    listed = json.loads(engine.run("stack", "ls", "--json"))
    return any(one["name"].rpartition("/")[2] == engine.stack for one in listed)


def forget(engine: Engine) -> None:
    """Remove what a backend in a folder keeps of a stack that was removed: backups, history, its joined settings."""
    backend, project, stack = state_folder(engine.backend()), engine.project_name, engine.stack
    if backend is None:
        return
    for kept in ("backups", "history"):
        shutil.rmtree(backend / ".pulumi" / kept / project / stack, ignore_errors=True)
    files = [backend / "config" / project / f"Pulumi.{stack}.yaml"]
    files += (backend / ".pulumi" / "stacks" / project).glob(f"{glob.escape(stack)}.json*")
    for file in files:
        file.unlink(missing_ok=True)


def create_if_missing(engine: Engine) -> None:
    """Create a stack that the backend does not know; raises EngineError."""
    # The embedded platform's wrapper of a state in a folder creates the stack, and keeps its salt out of the checkout.
    in_folder = engine.environment.get("PULUMI_BACKEND_URL", "").startswith("file://")
    wrapped = in_folder and is_embedded(engine.project, engine.stack)
    if wrapped or exists(engine):
        return
    engine.run("stack", "init", engine.stack)


def start(project: Path, stack: str) -> int:
    """Start the embedded platform, with the images that the stack runs besides its models."""
    code = _local(project, "up")
    names = _to_bake(project, stack)
    return _local(project, "bake", *names) if names and not code else code


def _to_bake(project: Path, stack: str) -> tuple[str, ...]:
    try:
        return images.to_bake(settings.load(own_settings(project, stack), project, stack))
    except settings.SettingsError:
        # The program says what is wrong with them, or it knows more than the file: secrets, an environment.
        return ()


def _local(project: Path, *command: str) -> int:
    return subprocess.run([sys.executable, "-m", "local", *command], cwd=project, check=False).returncode


def command_line(engine: Engine, name: str, *, yes: bool, rest: Sequence[str]) -> list[str]:
    """Return the command line of an engine's command on a stack; raises EngineError where there is no engine."""
    program = shutil.which("pulumi", path=engine.environment.get("PATH", ""))
    if program is None:
        raise EngineError("pulumi: is not on PATH; install it, or build it with `python -m local up`")
    asking = ["--yes"] if yes and name != "preview" else []
    return [program, name, "--stack", engine.stack, *asking, *rest]


def _pulumi(engine: Engine, name: str, *, yes: bool, rest: list[str]) -> int:
    if name in NOTIFIED and is_asked_for(engine.project, engine.stack):
        code = _run_and_notify(engine, name, yes=yes, rest=rest)
    else:
        code = call(command_line(engine, name, yes=yes, rest=rest), engine, {})
    if code:
        tell_of_locks_left(engine)
    return code


def _run_and_notify(engine: Engine, name: str, *, yes: bool, rest: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="modelstack-events-") as folder:
        log = Path(folder) / "events"
        command = command_line(engine, name, yes=yes, rest=[*events.logged_to(log), *rest])
        code = call(command, engine, events.ENVIRONMENT)
        told = list(events.of_log(log)) if code else []
        if code and failures.happened(told):
            notify(engine, failures.event_of(name, told))
    return code


def tell_of_locks_left(engine: Engine) -> None:
    """Name who holds the stack, and the way on; what the engine names frees the lock and no more, of a live one too."""
    with contextlib.suppress(EngineError):
        for one in holders(engine.backend(), engine.project_name, engine.stack)[:1]:
            print(f"stack {engine.stack}: {_way_on(engine, one)}", file=sys.stderr)


def _way_on(engine: Engine, one: Holder) -> str:
    if one.may_live():
        return f"is worked on by {one}; wait until it has ended, `pulumi cancel` would not end it"
    return f"its lock is of {one}, which is dead; run `python -m ops recover --stack {engine.stack}`"
