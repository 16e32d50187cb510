"""`python -m ops revert`: `up` of the commit that a stack ran before the one that is checked out.

The way back of a pipeline: every setting, component and model of the stack goes back together. `pulumi stack history`
says which commit that was, with every backend; its images are still held, so nothing is built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.engine import Engine, EngineError, environment

FAILED, REFUSED = 1, 3
# What a `make` above would hand on: its variables are this commit's.
OF_MAKE = {
    "MAKEFLAGS",
    "MAKEOVERRIDES",
    "MFLAGS",
    "MAKELEVEL",
    "PYTHONPYCACHEPREFIX",
    "VIRTUAL_ENV",
    "PULUMI_PYTHON_CMD",
}


class NowhereError(Exception):
    """The history names no commit to go back to; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Update:
    """One entry of a stack's history; `commit` is empty where there was no checkout."""

    kind: str
    succeeded: bool
    commit: str
    dirty: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="default: dev")
    parser.add_argument("--to", metavar="COMMIT", help="default: the last one that was up before HEAD")


def run(arguments: argparse.Namespace) -> int:
    """Go back; returns 0, also where HEAD never ran on the stack, 1 where `up` fails, 3 where there is no way back."""
    project = Path.cwd()
    try:
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        commit = arguments.to or commit_before(history(engine), _git(project, "rev-parse", "HEAD"), arguments.stack)
        if commit is None:
            print(f"stack {arguments.stack}: its last update is not of this commit: nothing to go back from")
            return 0
        return _up(project, commit, arguments.stack)
    except NowhereError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def history(engine: Engine) -> list[Update]:
    """Return a stack's updates, the newest first; raises EngineError."""
    return [_update(one) for one in json.loads(engine.on_stack("stack", "history", "--json", "--page-size", "100"))]


def commit_before(updates: Sequence[Update], head: str, stack: str) -> str | None:
    """Return the commit that was up before `head`, None where the last update is of another; raises NowhereError."""
    if not updates or updates[0].commit != head:
        return None
    remedy = "name a commit with --to, or mend this one"
    for one in updates:
        if one.kind == "destroy":
            break
        if one.kind != "update" or not one.succeeded or one.commit == head:
            continue
        if one.dirty or not one.commit:
            what = f"{one.commit[:12]} with changes" if one.commit else "no checkout"
            raise NowhereError(f"stack {stack}: before {head[:12]} it ran {what}, which nothing holds; {remedy}")
        return one.commit
    raise NowhereError(f"stack {stack}: its history names no commit that was up before {head[:12]}; {remedy}")


def _update(entry: dict[str, Any]) -> Update:
    told = entry.get("environment") or {}
    succeeded = entry.get("result") == "succeeded"
    return Update(str(entry.get("kind")), succeeded, told.get("git.head", ""), told.get("git.dirty") == "true")


def _up(project: Path, commit: str, stack: str) -> int:
    with _checked_out(project, commit) as folder:
        print(f"stack {stack}: going back to {_git(folder, 'log', '-1', '--format=%h %s')}", flush=True)
        own = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        command = ["make", "up", f"STACK={stack}", f"PYTHON={sys.executable}", "ARGS=--yes"]
        code = subprocess.run(command, cwd=folder, env=own, check=False).returncode
    if code:
        print(f"error: stack {stack}: going back to {commit[:12]} failed; see above", file=sys.stderr)
        return FAILED
    return 0


@contextmanager
def _checked_out(project: Path, commit: str) -> Iterator[Path]:
    root, prefix = Path(_git(project, "rev-parse", "--show-toplevel")), _git(project, "rev-parse", "--show-prefix")
    with tempfile.TemporaryDirectory(prefix="modelstack-revert-") as folder:
        # A clone, no worktree: the engine looks for the commit in a folder `.git`.
        copy = Path(folder, root.name)
        _git(root, "clone", "--quiet", "--no-checkout", "--shared", str(root), str(copy))
        _git(copy, "checkout", "--quiet", "--detach", commit)
        yield copy / prefix


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(f"git {arguments[0]}: {said}; the whole history has to be fetched (fetch-depth: 0)")
    return done.stdout.strip()
