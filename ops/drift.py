"""`python -m ops drift`: what the cluster and the registry hold otherwise than the stack's state; changes nothing.

It is the engine's own refresh, previewed: what the program leaves to a controller (`ignoreChanges`, as the replicas of
a model that scales) and what no input names (status, defaults, what others added) is no drift.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from local.plugins.kubernetes.diff import parse_path
from ops.engine import Engine, EngineError, environment
from ops.messages import Event
from ops.notify import notify
from ops.stack import exists
from ops.streamed import events, holds_secret, is_secret, said_of

NONE, FAILED, DRIFT = 0, 1, 3
SECRET = "[secret]"  # noqa: S105 (what is told in place of one)
SECRET_KIND = "kubernetes:core/v1:Secret"  # noqa: S105  # pragma: allowlist secret
SECRET_FIELDS = ("data", "stringData")
PINNED = "modelstack:index:PinnedImage"
GONE, CHANGED, MOVED = "gone", "changed", "moved"
TOLD = {GONE: "is gone", CHANGED: "is changed", MOVED: "has moved"}
KINDS = {"add": "added", "delete": "removed", "update": "changed"}
SHOWN_CHARACTERS = 120
# Either would take a cluster that does not answer for one without drift, or for one that lost everything.
STRICT = {"PULUMI_K8S_SKIP_UPDATE_UNREACHABLE": "false", "PULUMI_K8S_DELETE_UNREACHABLE": "false"}

Step = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One field: what the state has and what is there now; None where it is absent."""

    path: str
    change: str
    state: Any
    found: Any

    def __str__(self) -> str:
        if isinstance(self.state, str) and isinstance(self.found, str) and "\n" in self.state:
            return f"{self.path}: {_lines(self.state, self.found)}"
        return f"{self.path}: {_short(self.state)} → {_short(self.found)}"


@dataclass(frozen=True)
class Drifted:
    """One resource that is gone, changed, or an image's tag that has moved."""

    urn: str
    type: str
    name: str
    id: str
    change: str
    fields: tuple[Field, ...] = ()

    def lines(self) -> list[str]:
        """Return what is told of it."""
        return [f"{self.type} {self.name} ({self.id}): {TOLD[self.change]}", *(f"  {one}" for one in self.fields)]

    @property
    def summary(self) -> str:
        """What is told of it without a value."""
        paths = ", ".join(one.path for one in self.fields)
        title = f"{self.type.rpartition(':')[2]} {self.name} {TOLD[self.change]}"
        return f"{title}: {paths}" if paths else title


@dataclass(frozen=True)
class Report:
    """What was compared and what differs; `warnings` are the engine's, as of an object that is not healthy."""

    stack: str
    checked: int
    resources: tuple[Drifted, ...]
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report for a person."""
        told = [line for one in self.resources for line in one.lines()]
        told += [f"warning: {line}" for line in self.warnings]
        if not self.resources:
            return [*told, f"stack {self.stack}: no drift in {self.checked} resources"]
        return [
            *told,
            f"stack {self.stack}: drift in {len(self.resources)} of {self.checked} resources; {self._remedy}",
        ]

    @property
    def summary(self) -> str:
        """What drifted, without a value of it."""
        return "; ".join(one.summary for one in self.resources)

    @property
    def _remedy(self) -> str:
        ways = []
        if any(one.change != MOVED for one in self.resources):
            ways.append(
                f"`python -m ops up --stack {self.stack} -- --refresh` puts it right (docs/operations.md: conflicts)"
            )
        if any(one.change == MOVED for one in self.resources):
            ways.append("`pulumi up --replace URN` takes a tag's new image")
        return ", ".join(ways)


def find(engine: Engine) -> Report:
    """Compare every resource of a stack with what is there; raises EngineError."""
    strict = replace(engine, environment={**engine.environment, **STRICT})
    found = events(strict, "refresh", "--preview-only")
    steps = [one["resOutputsEvent"]["metadata"] for one in found if "resOutputsEvent" in one]
    steps = [one for one in steps if _is_compared(one)]
    return Report(engine.stack, len(steps), tuple(drifted(steps)), tuple(said_of(found, "warning")))


def _is_compared(step: Step) -> bool:
    old = step.get("old") or {}
    return bool(old.get("custom")) and not str(old["type"]).startswith("pulumi:providers:")


def drifted(steps: Iterable[Step]) -> Iterator[Drifted]:
    """Yield what the steps of a previewed refresh found otherwise, in the order of types and names."""
    for step in sorted(steps, key=lambda one: str(one["urn"]).split("::")[2:]):
        old, new = step["old"], step.get("new") or {}
        if step["op"] == "delete":
            yield _drifted(old, GONE)
        elif step.get("detailedDiff"):
            yield _drifted(old, CHANGED, _fields(step))
        elif step["op"] == "update":
            yield _drifted(old, CHANGED)
        elif old["type"] == PINNED and (moved := _moved(new.get("outputs") or {})):
            yield _drifted(old, MOVED, moved)


def _drifted(old: Mapping[str, Any], change: str, fields: Iterable[Field] = ()) -> Drifted:
    name = str(old["urn"]).rpartition("::")[2]
    return Drifted(str(old["urn"]), str(old["type"]), name, str(old.get("id") or name), change, tuple(fields))


def _moved(outputs: Mapping[str, Any]) -> tuple[Field, ...]:
    pinned, current = outputs.get("digest"), outputs.get("current")
    if current is None or current == pinned:
        return ()
    return (Field(f"tag {outputs.get('image')}", "changed", pinned, current or None),)


def _fields(step: Step) -> Iterator[Field]:
    old, new = step["old"], step["new"]
    for path, how in sorted(step["detailedDiff"].items()):
        keys = parse_path(path)
        before = _at(old.get("inputs") or {}, keys)
        after = _at(new.get("inputs") or {}, keys)
        # A provider of another kind may tell of what it reads as outputs alone.
        after = _at(new.get("outputs") or {}, keys) if after is None else after
        if _is_secret(str(old["type"]), keys) or SECRET in (before, after):
            before, after = SECRET, SECRET
        yield Field(path, KINDS[str(how["diffKind"]).removesuffix("-replace")], before, after)


def _is_secret(kind: str, keys: tuple[str | int, ...]) -> bool:
    return kind == SECRET_KIND and keys[0] in SECRET_FIELDS


def _at(value: Any, keys: Iterable[str | int]) -> Any:
    for key in keys:
        # What is secret as a whole is so in every part.
        if is_secret(value):
            return SECRET
        if isinstance(value, Mapping):
            value = value.get(str(key))
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return SECRET if holds_secret(value) else value


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    if value == SECRET:
        return SECRET
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"


def _lines(before: str, after: str) -> str:
    old, new = before.splitlines(), after.splitlines()
    at = next((index for index, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
    at = min(len(old), len(new)) if at is None else at
    first = f"{_short(_line(old, at))} → {_short(_line(new, at))}"
    return f"{len(old)} lines → {len(new)}, from line {at + 1} on: {first}"


def _line(lines: list[str], at: int) -> str | None:
    return lines[at].strip() if at < len(lines) else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", nargs="?", default="dev", metavar="STACK", help="default: dev")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.epilog = "Exit codes: 0 no drift, 1 it could not be found out, 3 drift."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 without drift, 1 where it cannot be found out, 3 with drift."""
    project = Path.cwd()
    try:
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        if not exists(engine):
            raise EngineError(f"STACK: stack {arguments.stack!r} does not exist; bring it up, or name another")
        print(f"stack {arguments.stack}: asking the cluster and the registry", file=sys.stderr, flush=True)
        report = find(engine)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    if report.resources:
        notify(engine, Event("drift", report.summary))
    told = {**asdict(report), "drift": bool(report.resources)}
    print(json.dumps(told) if arguments.json else "\n".join(report.lines()))
    return DRIFT if report.resources else NONE
