"""`python -m ops backup`: a stack's state, the images it holds and the embedded platform's data, in one folder."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model_build.errors import DataError, RegistryError
from ops import archive, held
from ops.archive import Contents, RepositoryPart, StackPart
from ops.engine import Engine, EngineError, State, environment, if_down, is_embedded, pending, resources
from ops.holders import holders
from ops.layout import Layout

FAILED, USAGE, REFUSED = 1, 2, 3
Say = Callable[[str], None]


class RefusedError(Exception):
    """A backup of this would be of no use; the message says why and what to do."""


@dataclass(frozen=True)
class Saved:
    """A stack and its state, with encrypted secrets."""

    part: StackPart
    state: State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", nargs="?", default="dev", metavar="STACK", help="default: dev")
    parser.add_argument("--all", action="store_true", help="every stack of the project in this backend")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="a new folder (default: backups/STACK-TIME in the project)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.epilog = "Exit codes: 0 written, 1 failed, 2 usage, 3 refused: a stack is worked on."


def run(arguments: argparse.Namespace) -> int:
    """Write the backup; returns 0 written, 1 failed, 2 the folder exists, 3 refused."""
    project = Path.cwd()

    def say(line: str) -> None:
        print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    name = "all" if arguments.all else arguments.stack
    made = datetime.now(UTC)
    target = (arguments.output or project / "backups" / f"{name}-{made:%Y%m%dT%H%M%SZ}").absolute()
    if target.exists():
        print(f"error: --output: {target} exists; name a new folder, or remove it", file=sys.stderr)
        return USAGE
    try:
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
        contents = backup(engine, target, made, say, every=arguments.all)
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except (DataError, RegistryError) as error:
        print(f"error: {error}{if_down(project, arguments.stack)}", file=sys.stderr)
        return FAILED
    except (EngineError, archive.ArchiveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    for line in conclusion(contents, target):
        say(line)
    if arguments.json:
        print(json.dumps({"folder": str(target), **contents.model_dump(exclude={"files"})}))
    return 0


def backup(engine: Engine, target: Path, made: datetime, say: Say, *, every: bool = False) -> Contents:
    """Write the folder, whole or not at all, and return what it holds; raises RefusedError and what its parts raise."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    # Whatever is written from here on is for its owner alone.
    before = os.umask(0o077)
    try:
        part.mkdir(parents=True)
        contents = _write(engine, part, made, say, every=every)
        archive.write(part, contents)
        part.rename(target)
    finally:
        os.umask(before)
        shutil.rmtree(part, ignore_errors=True)
    return contents


def is_in_platform(engine: Engine, stacks: Sequence[str]) -> bool:
    """Return whether any of these stacks runs on the embedded platform."""
    # Of a stack whose settings lie elsewhere, as a review stack's, only the others say where it runs.
    known = [one for one in stacks if (engine.project / f"Pulumi.{one}.yaml").is_file()]
    return any(is_embedded(engine.project, one) for one in known or [engine.stack])


def _write(engine: Engine, folder: Path, made: datetime, say: Say, *, every: bool) -> Contents:
    saved = [_state(one, say) for one in _stacks(engine, every=every)]
    (folder / archive.STATE).mkdir()
    for one in saved:
        text = json.dumps(one.state, indent=1)
        (folder / archive.state_file(one.part.name)).write_text(text, encoding="utf-8")
    repositories = tuple(_images(engine.project, saved, Layout(folder / archive.IMAGES), say))
    embedded = is_in_platform(engine, [one.part.name for one in saved])
    if embedded:
        _platform(engine, folder / archive.PLATFORM)
    return Contents(
        format=archive.FORMAT,
        project=engine.project_name,
        made=f"{made:%Y-%m-%dT%H:%M:%SZ}",
        engine=engine.run("version").strip(),
        embedded=embedded,
        stacks=tuple(one.part for one in saved),
        repositories=repositories,
        files=archive.sums(folder),
    )


def _stacks(engine: Engine, *, every: bool) -> Iterator[Engine]:
    """Yield the stacks asked for; raises RefusedError for one that is worked on: its state would be of no one time."""
    known = {one["name"].rpartition("/")[2]: one for one in json.loads(engine.run("stack", "ls", "--json"))}
    asked = sorted(known) if every else [engine.stack.rpartition("/")[2]]
    for name in asked:
        if name not in known:
            raise EngineError(f"STACK: {name!r} is none of this backend; name one of {', '.join(sorted(known))}")
        require_free(engine, name, updating=bool(known[name].get("updateInProgress")))
        yield Engine(engine.project, known[name]["name"], engine.environment)


def require_free(engine: Engine, stack: str, *, updating: bool = False) -> None:
    """Raise RefusedError while a live process holds a stack."""
    living = [one for one in holders(engine.backend(), engine.project_name, stack) if one.may_live()]
    if living or updating:
        by = f" by {living[0]}" if living else ""
        raise RefusedError(f"stack {stack}: is worked on{by}; run this again after it")


def _state(engine: Engine, say: Say) -> Saved:
    state = engine.export()
    if pending(state):
        raise RefusedError(
            f"stack {engine.stack}: {len(pending(state))} operations were begun and never ended; run "
            f"`python -m ops recover --stack {engine.stack}` first"
        )
    # What cannot be decrypted now could not be after a restore either.
    engine.export(secrets=True)
    provider = state["deployment"].get("secrets_providers") or {}
    url = (provider.get("state") or {}).get("url") or ""
    name = engine.stack.rpartition("/")[2]
    part = StackPart(
        name=name, resources=len(resources(state)), encrypted_by=str(provider.get("type") or ""), key_service=url
    )
    say(f"state: stack {part.name}, {part.resources} resources")
    return Saved(part, state)


def _images(project: Path, saved: list[Saved], layout: Layout, say: Say) -> Iterator[RepositoryPart]:
    states = [one.state for one in saved]
    layout.folder.mkdir()
    named: dict[str, str] = {}
    for place in held.places(states, project):
        found = held.take(place, states, layout)
        named |= {f"{place.host}/{place.name}:{tag}": digest for tag, digest in found.tags.items()}
        say(f"images: {place.host}/{place.name}, {len(found.manifests)} manifests")
        yield found
    layout.write_index(named)


def _platform(engine: Engine, folder: Path) -> None:
    command = [sys.executable, "-m", "local", "save", str(folder)]
    done = subprocess.run(command, cwd=engine.project, env=dict(engine.environment), stdout=sys.stderr, check=False)
    if done.returncode:
        raise EngineError("`python -m local save` failed; run `python -m local up`, and this again")


def conclusion(contents: Contents, target: Path) -> list[str]:
    """Return the lines that end the report: what is in the folder, and what has to be kept beside it."""
    lines = [
        f"{one.registry}/{one.repository}@{digest}: the state names it, the registry has it no more; not in the backup"
        for one in contents.repositories
        for digest in one.missing
    ]
    if contents.embedded:
        lines.append(
            f"WARNING: {target / archive.PLATFORM} holds the passphrase of the states and the cluster's keys and "
            "Secrets, in plain: who reads the folder reads every secret; keep it where only you can"
        )
    else:
        lines += [_told(one) for one in contents.stacks]
        lines.append("cluster: its objects are not in the backup; `up` makes them again after a restore")
    return [*lines, f"backup of {', '.join(one.name for one in contents.stacks)}: {target}"]


def _told(stack: StackPart) -> str:
    if stack.encrypted_by == "passphrase":
        return f"stack {stack.name}: its passphrase is not in the backup; keep it, nothing else reads its secrets"
    return (
        f"stack {stack.name}: its secrets are read by {stack.key_service or stack.encrypted_by or 'the backend'} alone"
    )
