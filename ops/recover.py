"""`python -m ops recover`: brings a stack back after its engine was killed, so that `up` or `destroy` ends cleanly.

Nothing is killed and no object is deleted: a lock whose holder is dead goes, with files of the state that were cut off;
operations that were begun become records for the engine's own refresh to check against the cluster and the registry,
and objects that carry the stack's label but are in no record are recorded too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ops import checkpoint, pending, unrecorded
from ops.engine import Engine, EngineError, environment
from ops.engine import pending as pending_operations
from ops.holders import Holder, holders

TERMINATION_SECONDS = 120.0
POLL_SECONDS = 2.0
REFUSED = 3

Say = Callable[[str], None]


class RefusedError(Exception):
    """Recovery would not be safe; the message says why and what to do."""


@dataclass
class Report:
    """What was found and done."""

    stack: str
    cleared_locks: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    may_exist: list[str] = field(default_factory=list)
    not_looked_for: str = ""
    pending_left: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    preview_failed: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is left that a person must see to."""
        return not (
            self.pending_left or self.unrecorded or self.may_exist or self.not_looked_for or self.preview_failed
        )


def recover(engine: Engine, say: Say) -> Report:
    """Bring the stack back and return what was done; raises RefusedError and EngineError."""
    report = Report(engine.stack)
    _clear_locks(engine, report, say)
    _settle(engine, report, say)
    say("refresh: comparing the state with the cluster and the registry")
    _refresh(engine, say)
    steps = _preview(engine, report)
    if _adopt(engine, steps, report, say):
        _refresh(engine, say)
        steps = _preview(engine, report)
    report.changes = _counted(steps)
    report.pending_left = len(pending_operations(engine.export()))
    return report


def findings(engine: Engine) -> list[str]:
    """Return what recovery would begin with, a line each; nothing is changed. Raises RefusedError and EngineError."""
    locks = [f"lock: of {one}, which is dead: would be removed" for one in _dead_holders(engine)]
    cut_off = [f"would be mended: {one}" for one in _faults(engine)]
    if cut_off:
        return [*locks, *cut_off, "operations: told once the state can be read"]
    begun = [str(decision) for decision in pending.decide(engine.export())]
    return [
        *(locks or [f"lock: none holds stack {engine.stack}"]),
        *(begun or ["operations: none was left begun"]),
        "then: refresh compares the state with the cluster and the registry, and what the state lacks is recorded",
    ]


def _dead_holders(engine: Engine) -> list[Holder]:
    held = holders(engine.backend(), engine.project_name, engine.stack)
    living = [one for one in held if one.may_live()]
    if living:
        raise RefusedError(
            f"stack {engine.stack}: is held by {living[0]}; let it end, or, if it runs on another host and is known to "
            f"be dead, run `pulumi cancel --yes --stack {engine.stack}` and then this again"
        )
    return held


def _faults(engine: Engine) -> list[checkpoint.Fault]:
    return checkpoint.faults(engine.backend(), engine.project_name, engine.stack)


def _clear_locks(engine: Engine, report: Report, say: Say) -> None:
    held = _dead_holders(engine)
    # Before the lock: the engine reads the state to remove it.
    for fault in _faults(engine):
        checkpoint.mend(fault)
        report.mended.append(str(fault))
        say(str(fault))
    if not held:
        return
    engine.run("cancel", "--yes", "--stack", engine.stack)
    report.cleared_locks = [str(one) for one in held]
    for one in held:
        say(f"lock: of {one}, which is dead: removed")


def _settle(engine: Engine, report: Report, say: Say) -> None:
    state = engine.export()
    report.may_exist = pending.may_exist(state)
    decisions = pending.decide(state)
    if not decisions:
        return
    for decision in decisions:
        report.operations.append(str(decision))
        say(str(decision))
    engine.replace_state(pending.settled(state, decisions))


def _refresh(engine: Engine, say: Say) -> None:
    """Refresh until no object is on its way out: one that is would look present now and be gone in the next `up`."""
    until = time.monotonic() + TERMINATION_SECONDS
    while True:
        engine.on_stack("refresh", "--yes", "--skip-preview")
        leaving = pending.terminating(engine.export())
        if not leaving or time.monotonic() > until:
            return
        say(f"refresh: {len(leaving)} objects are being deleted; waiting for them to go")
        time.sleep(POLL_SECONDS)


def _preview(engine: Engine, report: Report) -> list[dict[str, Any]]:
    try:
        told = json.loads(engine.on_stack("preview", "--json"))
    except (EngineError, ValueError) as error:
        report.preview_failed = str(error)
        return []
    report.preview_failed = ""
    return list(told.get("steps") or [])


def _adopt(engine: Engine, steps: list[dict[str, Any]], report: Report, say: Say) -> bool:
    state = engine.export(secrets=True)
    try:
        found = unrecorded.find(state, engine.stack)
    except unrecorded.NotLookedFor as error:
        report.not_looked_for = str(error)
        return False
    state, taken = unrecorded.adopted(state, steps, found)
    report.adopted = [str(one) for one in taken]
    report.unrecorded = [str(one) for one in found if one not in taken]
    for one in taken:
        say(f"{one}: was created but not recorded; recorded now")
    if taken:
        engine.replace_state(state)
    return bool(taken)


def _counted(steps: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in steps:
        if step.get("op") not in ("same", "read", "refresh"):
            counts[step["op"]] = counts.get(step["op"], 0) + 1
    return counts


def conclusion(report: Report) -> list[str]:
    """Return the lines that end the report."""
    lines = [
        f"{one}: carries the stack's label but is in no record; delete it or import it" for one in report.unrecorded
    ]
    lines += [f"{urn}: was being created, and may exist; look at its provider" for urn in report.may_exist]
    if report.not_looked_for:
        lines.append(f"objects without a record: not looked for ({report.not_looked_for})")
    if report.preview_failed:
        lines.append(
            f"preview: failed; the state is recovered, but what `up` would do is not known:\n{report.preview_failed}"
        )
    else:
        told = ", ".join(f"{count} to {op}" for op, count in sorted(report.changes.items()))
        lines.append(f"stack {report.stack}: {report.pending_left} operations pending, " + (told or "0 changes left"))
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--stack", default="dev", help="the stack to recover (default: dev)")
    parser.add_argument("--yes", action="store_true", help="do not ask; without it what was found is shown first")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 recovered, 1 with something left to see to, 3 refused."""
    project = Path.cwd()

    def say(line: str) -> None:
        print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    try:
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        if not arguments.yes and not _agreed(engine, say):
            print("recover: nothing was done; pass --yes to go ahead", file=sys.stderr)
            return REFUSED
        report = recover(engine, say)
    except RefusedError as error:
        print(f"recover: {error}", file=sys.stderr)
        return REFUSED
    except EngineError as error:
        print(f"recover: {error}", file=sys.stderr)
        return 1
    for line in conclusion(report):
        say(line)
    if arguments.json:
        print(json.dumps({**asdict(report), "clean": report.clean}))
    return 0 if report.clean else 1


def _agreed(engine: Engine, say: Say) -> bool:
    for line in findings(engine):
        say(line)
    if not sys.stdin.isatty():
        return False
    question = f"Recover stack {engine.stack}: change its state to what the cluster and registry hold? [y/N] "
    return input(question).lower() == "y"
