"""`python -m ops review up|down|list|reap`: a stack of its own for each pull request (docs/review-stacks.md)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ops.engine import Engine, environment, is_embedded, resources
from ops.messages import Event
from ops.notify import notify
from ops.review import names
from ops.review import reap as reaping
from ops.review.about import About, describe_all
from ops.review.guard import RefusedError, require_own
from ops.review.names import UsageError
from ops.review.remove import FAILURES, HeldError, drop, on_platform, refuse_held, remove
from ops.review.table import rows
from ops.review.up import Asked, bring_up
from ops.review.workplace import Workplace, workplace
from ops.stack import exists

FAILED, USAGE, REFUSED = 1, 2, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="review", required=True, metavar="COMMAND")
    up = _command(commands, "up", _up, "make or renew the stack of a pull request")
    up.add_argument("pull_request", metavar="PR", help="the pull request's number")
    up.add_argument(
        "--ttl", default="24h", help="it may be reaped after that: 30m, 24h, 7d; at most 30d (default: 24h)"
    )
    up.add_argument("--owner", help="who is asked about it (default: whom CI names, else this user)")
    down = _command(commands, "down", _down, "take the stack of a pull request down; nothing of it is left")
    down.add_argument("pull_request", metavar="PR", help="the pull request's number")
    _command(commands, "list", _list, "show the review stacks of this project")
    reap = _command(commands, "reap", _reap, "take down every review stack that has expired")
    reap.add_argument("--dry-run", action="store_true", help="show what would be taken down")


def run(arguments: argparse.Namespace) -> int:
    """Run a subcommand; returns 0, 1 failed, 2 usage, 3 refused before anything was changed."""
    command: Callable[[argparse.Namespace], int] = arguments.run_review
    try:
        arguments.source = names.source(arguments.source)
        return command(arguments)
    except UsageError as error:
        return _fail(USAGE, f"error: {error}")
    except (RefusedError, HeldError) as error:
        return _fail(REFUSED, f"refused: {error}")
    except FAILURES as error:
        return _fail(FAILED, f"error: {error}")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    own = commands.add_parser(name, help=text, description=text)
    own.add_argument(
        "--from", dest="source", default=names.SOURCE, metavar="STACK", help="whose settings it takes (default: test)"
    )
    own.add_argument("--json", action="store_true", help="print one JSON object")
    own.set_defaults(run_review=command)
    return own


def _up(arguments: argparse.Namespace) -> int:
    number, life = names.pull_request(arguments.pull_request), names.life(arguments.ttl)
    owner = None if arguments.owner is None else names.owner(arguments.owner)
    made = bring_up(Path.cwd(), Asked(number, owner, life, arguments.source), _say)
    _tell([made], as_json=arguments.json, whole=False)
    return 0


def _down(arguments: argparse.Namespace) -> int:
    stack = names.stack_of(names.pull_request(arguments.pull_request))
    project = Path.cwd()
    with _opened(project, arguments.source) as place:
        aside = place.aside(stack)
        if not exists(aside):
            return _told(stack, "does not exist: nothing to take down", as_json=arguments.json, removed=False)
        refuse_held(aside)
        state = aside.export()
        if not resources(state):
            # Killed before it had its mark: there is nothing but a name.
            drop(aside)
            return _told(stack, "was empty, and is removed", as_json=arguments.json, removed=True)
        embedded = is_embedded(project, arguments.source)
        if embedded:
            on_platform(project, "up")
        require_own(state, stack, place.name)
        remove(place, stack, _say)
        if embedded:
            on_platform(project, "collect")
    return _told(stack, "is removed, its images, key and history with it", as_json=arguments.json, removed=True)


def _list(arguments: argparse.Namespace) -> int:
    with _opened(Path.cwd(), arguments.source) as place:
        found = describe_all(place.aside(""), datetime.now(UTC))
    _tell(found, as_json=arguments.json, whole=True)
    return 0


def _reap(arguments: argparse.Namespace) -> int:
    project, done = Path.cwd(), []
    embedded = is_embedded(project, arguments.source)
    with _opened(project, arguments.source) as place:
        for one in reaping.reap(place, datetime.now(UTC), _say, dry_run=arguments.dry_run):
            done.append(one)
            if one.action == reaping.REAPED:
                source = Engine(project, arguments.source, place.environment)
                notify(source, Event("reaped", f"{one.stack}: {one.why}"))
            if not arguments.json:
                print(f"{one.stack}: {one.action}, {one.why}", flush=True)
    if embedded and any(one.action == reaping.REAPED for one in done):
        on_platform(project, "collect")
    if arguments.json:
        print(json.dumps({"dry_run": arguments.dry_run, "stacks": [asdict(one) for one in done]}))
    elif not done:
        print("no review stack is there")
    actions = {one.action for one in done}
    return FAILED if reaping.FAILED in actions else REFUSED if reaping.REFUSED in actions else 0


@contextmanager
def _opened(project: Path, source: str) -> Iterator[Workplace]:
    with workplace(project, environment(project, source)) as place:
        yield place


def _tell(found: list[About], *, as_json: bool, whole: bool) -> None:
    if as_json:
        values = [one.values() for one in found]
        print(json.dumps({"stacks": values} if whole else values[0]))
        return
    for line in rows(found) if found else ["no review stack is there"]:
        print(line)


def _told(stack: str, what: str, *, as_json: bool, removed: bool) -> int:
    print(json.dumps({"stack": stack, "removed": removed}) if as_json else f"stack {stack!r} {what}")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _fail(code: int, line: str) -> int:
    print(line, file=sys.stderr)
    return code
