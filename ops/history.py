"""`python -m ops history MODEL`: its versions, who took them when, what was measured and tested, and who runs them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from model_build.errors import RegistryError, SignatureError
from model_build.oci.auth import is_loopback
from model_build.supply.tested import Record, records
from ops import model_images
from ops.engine import Engine, EngineError, environment
from ops.model_images import ModelImage
from ops.predict import UsageError
from ops.progress import Progress
from ops.versions import LONG_AGO, Version, past, updates, versions

FAILED, USAGE = 1, 2


@dataclass(frozen=True)
class Facts:
    """What a registry says of an image: metrics of the report, bytes, results of tests; why where it says nothing."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    tests: tuple[Record, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One image of the model: the versions of it that stacks had, the latest first, and what is known of it."""

    versions: tuple[Version, ...]
    facts: Facts

    @property
    def latest(self) -> Version:
        """The version that was taken last."""
        return self.versions[0]

    def values(self) -> dict[str, Any]:
        """Return it for a program."""
        tests = [
            {"stack": one.stack, "suite": one.suite, "ok": one.ok, "ended": one.ended, "figures": dict(one.figures)}
            for one in self.facts.tests
        ]
        return {
            "digest": self.latest.digest,
            "inputs": self.latest.inputs,
            "metrics": dict(self.facts.metrics),
            "bytes": self.facts.size,
            "unknown": self.facts.why or None,
            "tests": tests,
            "stacks": [_told(one) for one in self.versions],
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--stack", help="the versions of this stack alone, numbered as `ops rollback --to` counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 done, 1 failed, 2 no such stack or model."""
    project = Path.cwd()
    try:
        found = list(_found(project, arguments))
        if not found:
            where = f"stack {arguments.stack!r}" if arguments.stack else "no stack of the project"
            raise UsageError(f"MODEL: {arguments.model!r} is no model that {where} has an image of; correct the name")
        listed = rows(project, found)
    except UsageError as error:
        return _fail(USAGE, error)
    except EngineError as error:
        return _fail(FAILED, error)
    if arguments.json:
        print(json.dumps({"model": arguments.model, "versions": [one.values() for one in listed]}))
        return 0
    for line in _lines(listed, arguments.stack):
        print(line)
    return 0


def _found(project: Path, arguments: argparse.Namespace) -> Iterator[tuple[ModelImage, list[Version]]]:
    """Yield each stack's image of the model with its versions."""
    engine = Engine(project, arguments.stack or "dev", environment(project, arguments.stack or "dev"))
    listed = [one["name"] for one in json.loads(engine.run("stack", "ls", "--json"))]
    names = [one for one in listed if arguments.stack in (None, one, one.rpartition("/")[2])]
    if not names:
        raise UsageError(f"--stack: {arguments.stack!r} is not among {', '.join(listed) or 'no stacks'}; correct it")
    progress = Progress("history", len(names), "stacks read")
    for at, name in enumerate(names):
        progress.show(at)
        one = Engine(project, name, engine.environment)
        image = model_images.of_state(one.export()).get(arguments.model)
        if image is not None and image.digest:
            yield image, versions(name.rpartition("/")[2], image, updates(one))
    progress.clear()


def rows(project: Path, found: Sequence[tuple[ModelImage, list[Version]]]) -> list[Row]:
    """Return a row a digest, the one that some stack took last first; of one stack in the order of `past`."""
    by_digest: dict[str, list[tuple[ModelImage, Version]]] = {}
    for image, some in found:
        for one in past(some):
            by_digest.setdefault(one.digest, []).append((image, one))
    listed = [_row(project, some) for some in by_digest.values()]
    return listed if len(found) == 1 else sorted(listed, key=lambda one: one.latest.began, reverse=True)


def _row(project: Path, ran: Sequence[tuple[ModelImage, Version]]) -> Row:
    facts = [_facts(project, image, version) for image, version in ran]
    # Where one stack's registry has dropped it, another's may have it still.
    known = next((one for one in facts if not one.why), facts[0])
    last: dict[tuple[str, str], Record] = {}
    for test in sorted((test for one in facts for test in one.tests), key=lambda test: test.ended):
        last[test.stack, test.suite] = test
    versions = sorted((version for _, version in ran), key=lambda one: one.began, reverse=True)
    return Row(tuple(versions), replace(known, tests=tuple(last[key] for key in sorted(last))))


def _facts(project: Path, image: ModelImage, version: Version) -> Facts:
    repository, trust = image.repository(project), image.trust(project)
    try:
        if repository.digest(version.digest) is None:
            return Facts(why="gone from the registry")
        keys = trust.public_keys() if trust.required else None
        report = (
            repository.report(version.digest)
            if keys is None
            else repository.signed_report(version.digest, keys, version.inputs)
        )
        counted = keys is not None or is_loopback(repository.host)
        tests = records(repository.subject(version.digest), keys) if counted else ()
        return Facts((report or {}).get("metrics") or {}, repository.size(version.digest), tests)
    except (RegistryError, SignatureError) as error:
        return Facts(why=str(error))


def _lines(listed: Sequence[Row], stack: str | None) -> Iterator[str]:
    yield f"{'N':>2}  {'digest':<19}  {'since (UTC)':<16}  {'by':<14}  {'commit':<9}  {'quality':>7}  {'MB':>7}  stacks"
    now = next((at for at, one in enumerate(listed) if _runs(one)), 0)
    for at, row in enumerate(listed):
        version, facts = row.latest, row.facts
        number = str(at - now) if stack and at >= now else ""
        size = f"{facts.size / 1e6:.1f}" if facts.size is not None else "?"
        yield (
            f"{number:>2}  {version.digest[:19]}  {_since(version):<16}  {version.by[:14]:<14}  "
            f"{_commit(version):<9}  {_quality(facts):>7}  {size:>7}  {_stacks(row)}"
        )
    yield from dict.fromkeys(f"{row.latest.digest[:19]}: {row.facts.why}" for row in listed if row.facts.why)


def _since(version: Version) -> str:
    return "?" if version.began == LONG_AGO else f"{version.began:%Y-%m-%d %H:%M}"


def _runs(row: Row) -> bool:
    return any(one.until is None for one in row.versions)


def _stacks(row: Row) -> str:
    return ", ".join(_stack(one, row.facts.tests) for one in row.versions)


def _stack(version: Version, tests: Sequence[Record]) -> str:
    notes = ["now"] if version.until is None else []
    notes += [f"{one.suite} {'passed' if one.ok else 'failed'}" for one in tests if one.stack == version.stack]
    notes += ["never came up"] if version.served is False else []
    return f"{version.stack} ({', '.join(notes)})" if notes else version.stack


def _commit(version: Version) -> str:
    if version.update is None or not version.update.commit:
        return "?"
    return f"{version.update.commit[:8]}{'+' if version.update.dirty else ''}"


def _quality(facts: Facts) -> str:
    found = next((facts.metrics[name] for name in ("accuracy", "cosine") if name in facts.metrics), None)
    return f"{found:.4f}" if isinstance(found, int | float) else "?"


def _told(version: Version) -> dict[str, Any]:
    update = version.update
    taken = (
        None
        if update is None
        else {
            "result": update.result,
            "commit": update.commit or None,
            "dirty": update.dirty,
            "author": update.author or None,
            "message": update.message,
        }
    )
    return {
        "stack": version.stack,
        "began": None if version.began == LONG_AGO else _text(version.began),
        "until": None if version.until is None else _text(version.until),
        "by": version.by,
        "served": version.served,
        "update": taken,
    }


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _fail(code: int, error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code
