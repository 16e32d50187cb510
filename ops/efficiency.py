"""`python -m ops efficiency`: E = (t_dev + t_test + t_deploy) / 3 of a branch's changes, from git and stack history.

t_dev goes from a change's first commit to its merge, t_test from there to the end of the first `up` of the test stack
that held it and succeeded, t_deploy from the start of the first `up` of the production stack that held it to the end of
the first that succeeded. Of a period each is the median over the changes merged in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.changes import Change, GitError, Repository
from ops.engine import Engine, EngineError, environment
from ops.stack import exists

DONE, FAILED, NO_DATA = 0, 1, 3
PARTS = ("dev", "test", "deploy")
UNITS = {"days": 86400.0, "hours": 3600.0}
PAGE = 100


class UsageError(Exception):
    """What was asked for makes no period; the message says what to do."""


@dataclass(frozen=True)
class Update:
    """One `up` of a stack: the commit that the checkout was at, and when it ran."""

    commit: str
    start: datetime
    end: datetime
    succeeded: bool


@dataclass(frozen=True)
class Period:
    """The changes merged from `since` until before `until`, and seconds of each part: one a change that has it."""

    name: str
    changes: int
    seconds: Mapping[str, tuple[float, ...]]

    def median(self, part: str) -> float | None:
        """Return the median of a part in seconds; None where no change has it."""
        return statistics.median(self.seconds[part]) if self.seconds[part] else None

    @property
    def efficiency(self) -> float | None:
        """E in seconds; None where a part has no data."""
        found = [self.median(part) for part in PARTS]
        return None if None in found else efficiency(*(one for one in found if one is not None))

    def line(self, unit: str) -> str:
        """Return the period for a person."""
        told = [f"{part} {self._told(part, unit)}" for part in PARTS]
        value = "no data" if self.efficiency is None else f"{self.efficiency / UNITS[unit]:.2f} {unit}"
        return f"{self.name}: E = {value} of {self.changes} changes; medians: {', '.join(told)}"

    def _told(self, part: str, unit: str) -> str:
        median = self.median(part)
        if median is None:
            return "no data"
        return f"{median / UNITS[unit]:.2f} (of {len(self.seconds[part])})"

    def values(self, unit: str) -> dict[str, Any]:
        """Return the period for a program; null where there is no data."""

        def scaled(seconds: float | None) -> float | None:
            return None if seconds is None else seconds / UNITS[unit]

        parts = {f"t_{part}": scaled(self.median(part)) for part in PARTS}
        counts = {part: len(self.seconds[part]) for part in PARTS}
        return {"period": self.name, "E": scaled(self.efficiency), **parts, "changes": self.changes, "counts": counts}


def efficiency(dev: float, test: float, deploy: float) -> float:
    """Return E, in the unit of its three times: 2.67 of (5, 2, 1), 1.5 of (3, 1, 0.5)."""
    return (dev + test + deploy) / 3


def updates(engine: Engine) -> list[Update]:
    """Return every `up` that a stack's history tells a commit of, oldest first; none where there is no such stack."""
    if not exists(engine):
        return []
    entries: list[dict[str, Any]] = []
    while len(entries) % PAGE == 0:
        page = str(len(entries) // PAGE + 1)
        found = json.loads(engine.on_stack("stack", "history", "--json", "--page-size", str(PAGE), "--page", page))
        if not found:
            break
        entries += found
    return sorted(filter(None, map(_update, entries)), key=lambda one: one.start)


def _update(entry: Mapping[str, Any]) -> Update | None:
    commit = (entry.get("environment") or {}).get("git.head")
    if entry.get("kind") != "update" or not commit or not entry.get("endTime"):
        return None
    start, end = (datetime.fromisoformat(entry[key]) for key in ("startTime", "endTime"))
    return Update(commit, start, end, entry.get("result") == "succeeded")


def measured(name: str, changes: Sequence[Change], git: Repository, test: list[Update], deploy: list[Update]) -> Period:
    """Return a period's times; raises GitError."""
    tested, deployed = _first(git, [one for one in test if one.succeeded]), _first(git, deploy)
    done = _first(git, [one for one in deploy if one.succeeded])
    spans = {
        "dev": [one.merged - one.begun for one in changes],
        "test": [tested[one.commit].end - one.merged for one in changes if one.commit in tested],
        "deploy": [done[one.commit].end - deployed[one.commit].start for one in changes if one.commit in done],
    }
    # Clocks of two machines may differ.
    return Period(
        name,
        len(changes),
        {part: tuple(max(0.0, one.total_seconds()) for one in found) for part, found in spans.items()},
    )


def _first(git: Repository, found: list[Update]) -> dict[str, Update]:
    """Return the first update that held each commit."""
    known = git.known(one.commit for one in found) if found else set()
    kept = [one for one in found if one.commit in known]
    return {commit: kept[index] for commit, index in git.first_holding([one.commit for one in kept])}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--before", metavar="DATE", help="compare what was merged before it with what came after")
    parser.add_argument("--from", dest="since", metavar="DATE", help="one period: from this date, as 2026-11-01")
    parser.add_argument("--to", dest="until", metavar="DATE", help="until before this one; default: now")
    parser.add_argument(
        "--test-stack", default="test", metavar="STACK", help="where a change is tested (default: test)"
    )
    parser.add_argument("--deploy-stack", default="prod", metavar="STACK", help="where it is deployed (default: prod)")
    parser.add_argument("--branch", default="HEAD", help="whose changes (default: what is checked out)")
    parser.add_argument("--unit", choices=tuple(UNITS), default="days")
    parser.add_argument("--json", action="store_true", help="print the periods as one JSON object")
    parser.epilog = "Exit codes: 0 done, 1 failed, 3 E of a period has no data."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 where something cannot be read, 3 where E of a period has no data."""
    project = Path.cwd()
    try:
        git, asked = Repository(project), _periods(arguments)
        test, deploy = (_history(project, stack) for stack in (arguments.test_stack, arguments.deploy_stack))
        found = [
            measured(name, git.changes(arguments.branch, since, until), git, test, deploy)
            for name, since, until in asked
        ]
    except (EngineError, GitError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    if arguments.json:
        print(json.dumps({"unit": arguments.unit, "periods": [one.values(arguments.unit) for one in found]}))
    else:
        print("\n".join(one.line(arguments.unit) for one in found))
    return NO_DATA if any(one.efficiency is None for one in found) else DONE


def _history(project: Path, stack: str) -> list[Update]:
    found = updates(Engine(project, stack, environment(project, stack)))
    if not any(one.succeeded for one in found):
        print(f"stack {stack}: its history has no `up` that succeeded and tells a commit", file=sys.stderr)
    return found


def _periods(arguments: argparse.Namespace) -> list[tuple[str, datetime | None, datetime | None]]:
    if arguments.before and (arguments.since or arguments.until):
        raise UsageError("--before: makes two periods of all changes; leave out --from and --to")
    if arguments.before:
        date = _date("--before", arguments.before)
        return [(f"before {arguments.before}", None, date), (f"from {arguments.before} on", date, None)]
    if not arguments.since:
        raise UsageError("--before: is missing; give --before DATE, or --from DATE and --to DATE")
    since = _date("--from", arguments.since)
    until = _date("--to", arguments.until) if arguments.until else None
    if until is not None and until <= since:
        raise UsageError(f"--to: {arguments.until} is not after --from {arguments.since}; correct one of the two")
    return [(f"from {arguments.since} to {arguments.until or 'now'}", since, until)]


def _date(option: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} is no date; write 2026-11-01 or 2026-11-01T12:00+01:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
