"""`python -m ops restore`: brings back what `ops backup` wrote, once all of it was checked."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from local import snapshot
from local.errors import PlatformError
from local.instance import Instance, locate
from model_build.errors import DataError, RegistryError
from ops import archive
from ops.archive import ArchiveError, Contents, RepositoryPart, StackPart
from ops.backup import RefusedError, Say, require_free
from ops.engine import Engine, EngineError, environment, resources
from ops.held import Place
from ops.layout import Layout
from ops.stack import exists
from provider.naming import holds

FAILED, REFUSED = 1, 3
OF_THE_BACKEND = ("", "service", "passphrase")


@dataclass
class Report:
    """What was done, or with `dry_run` would be."""

    folder: str
    dry_run: bool
    cluster: str = ""
    images: list[str] = field(default_factory=list)
    stacks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Restoring:
    """A checked backup, and where it goes."""

    folder: Path
    project: Path
    contents: Contents
    instance: Instance | None
    """The embedded platform's, where the backup is of one."""

    @property
    def is_loaded(self) -> bool:
        """Whether the platform is to get the backup's cluster data: it has none of its own."""
        return self.instance is not None and snapshot.is_empty(self.instance)

    def engine(self, stack: str) -> Engine:
        """Return the engine on one stack; on the embedded platform this needs its passphrase to be there."""
        return Engine(self.project, stack, environment(self.project, stack))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what `ops backup` wrote")
    parser.add_argument("--dry-run", action="store_true", help="check everything and show what would be done")
    parser.add_argument("--yes", action="store_true", help="do not ask; without it the plan is shown first")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.epilog = "Exit codes: 0 restored, 1 failed, 3 refused: the backup or what is there does not fit."


def run(arguments: argparse.Namespace) -> int:
    """Restore a backup; returns 0 restored, 1 failed, 3 refused or not agreed to."""
    project = Path.cwd()

    def say(line: str) -> None:
        print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    say(f"checking every byte of {arguments.folder}")
    try:
        restoring = opened(arguments.folder.absolute(), project)
        check(restoring)
        report = planned(restoring)
        if not arguments.dry_run:
            if not arguments.yes and not _agreed(report, say):
                print("restore: nothing was done; pass --yes to go ahead", file=sys.stderr)
                return REFUSED
            report = restore(restoring, say)
    except (ArchiveError, RefusedError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except (DataError, RegistryError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    for line in conclusion(report):
        say(line)
    if arguments.json:
        print(json.dumps(asdict(report)))
    return 0


def opened(folder: Path, project: Path) -> Restoring:
    """Return a backup of which every byte was checked; raises ArchiveError."""
    contents = archive.read(folder, Engine(project, "", {}).project_name)
    return Restoring(folder, project, contents, locate() if contents.embedded else None)


def check(restoring: Restoring) -> None:
    """Raise where what is there does not fit; nothing is changed."""
    if restoring.instance is None:
        _require_stacks_free(restoring)
        return
    kept = restoring.folder / archive.PLATFORM
    if restoring.is_loaded:
        snapshot.check(restoring.instance, kept, os.environ)
        return
    own, saved = restoring.instance.data / "passphrase", kept / "passphrase"
    if own.is_file() and own.read_bytes() != saved.read_bytes():
        raise RefusedError(
            f"{own}: is not the passphrase of the backup's states; run `python -m local reset` first, which drops the "
            "platform's data, the state of its stacks included"
        )
    _require_stacks_free(restoring)


def _require_stacks_free(restoring: Restoring) -> None:
    for stack in restoring.contents.stacks:
        engine = restoring.engine(stack.name)
        listed = json.loads(engine.run("stack", "ls", "--json"))
        updating = any(one["name"].rpartition("/")[2] == stack.name and one.get("updateInProgress") for one in listed)
        require_free(engine, stack.name, updating=updating)


def planned(restoring: Restoring) -> Report:
    """Return what `restore` would do."""
    contents = restoring.contents
    report = Report(str(restoring.folder), dry_run=True, cluster=_of_cluster(restoring))
    report.images = [f"{one.registry}/{one.repository}: {_counted(one)}" for one in contents.repositories]
    report.stacks = [f"{one.name}: {one.resources} resources of {contents.made}" for one in contents.stacks]
    return report


def _of_cluster(restoring: Restoring) -> str:
    if restoring.instance is None:
        return "left as it is"
    if restoring.is_loaded:
        return f"the snapshot becomes the data of platform {restoring.instance.name!r}, which is started"
    return f"left as it is: platform {restoring.instance.name!r} has data of its own"


def _counted(one: RepositoryPart) -> str:
    return f"{len(one.manifests)} manifests, {len(one.tags)} tags"


def _agreed(report: Report, say: Say) -> bool:
    for line in conclusion(report):
        say(line)
    if not sys.stdin.isatty():
        return False
    return input("Restore this, in place of what is there? [y/N] ").lower() == "y"


def restore(restoring: Restoring, say: Say) -> Report:
    """Bring platform, images and states back, in this order, and return what was done; can be run again."""
    report = Report(str(restoring.folder), dry_run=False, cluster=_of_cluster(restoring))
    loaded = restoring.is_loaded
    if loaded:
        _local(restoring.project, "load", str(restoring.folder / archive.PLATFORM))
    if restoring.instance is not None:
        _local(restoring.project, "up")
    for one in restoring.contents.repositories:
        _push(restoring, one)
        report.images.append(f"{one.registry}/{one.repository}: {_counted(one)}")
        say(f"images: {report.images[-1]}")
    if loaded:
        # It tells stacks of the images that it finds.
        _local(restoring.project, "up")
    for stack in restoring.contents.stacks:
        report.stacks.append(_import(restoring, stack))
        say(f"state: {report.stacks[-1]}")
    return report


def _local(project: Path, *command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "local", *command], cwd=project, stdout=sys.stderr, check=False)
    if done.returncode:
        raise EngineError(f"`python -m local {command[0]}` failed with exit code {done.returncode}")


def _push(restoring: Restoring, part: RepositoryPart) -> None:
    layout = Layout(restoring.folder / archive.IMAGES)
    place = Place(part.registry, part.repository, part.docker_config, restoring.project)
    for digest in (*part.manifests, *part.tags.values()):
        layout.put(place.registry, place.name, digest)
    for tag, digest in part.tags.items():
        found = place.repository.digest(tag)
        # What names an image by its inputs, or lists what is attached to one, may know more by now.
        if found is None or (found != digest and holds(tag)):
            place.repository.tag(digest, tag)


def _import(restoring: Restoring, stack: StackPart) -> str:
    engine = restoring.engine(stack.name)
    require_free(engine, stack.name)
    before = len(resources(engine.export())) if exists(engine) else None
    if before is None:
        _create(restoring, engine, stack)
    engine.replace_state(restoring.contents.state(restoring.folder, stack))
    replaced = "" if before is None else f", in place of {before}"
    return f"{stack.name}: {stack.resources} resources of {restoring.contents.made}{replaced}"


def _create(restoring: Restoring, engine: Engine, stack: StackPart) -> None:
    provider = (
        [] if stack.encrypted_by in OF_THE_BACKEND else ["--secrets-provider", stack.key_service or stack.encrypted_by]
    )
    if restoring.instance is None:
        engine.run("stack", "init", stack.name, *provider)
        return
    # The engine writes a new salt beside Pulumi.yaml; the one that counts comes with the state.
    with tempfile.TemporaryDirectory(prefix="modelstack-stack-") as folder:
        text = yaml.safe_dump({"name": restoring.contents.project, "runtime": "python"})
        Path(folder, "Pulumi.yaml").write_text(text, encoding="utf-8")
        Engine(Path(folder), stack.name, engine.environment).run("stack", "init", stack.name, "--no-select")


def conclusion(report: Report) -> list[str]:
    """Return the lines that end the report."""
    return [*_parts(report), *(() if report.dry_run else _next(report))]


def _parts(report: Report) -> Iterator[str]:
    will = "would be restored" if report.dry_run else "restored"
    yield f"cluster: {report.cluster}"
    yield from (f"images: {one}: {will}" for one in report.images if report.dry_run)
    yield from (f"state: {one}: {will}" for one in report.stacks if report.dry_run)
    yield f"{len(report.stacks)} stacks and {len(report.images)} repositories of {report.folder}: {will}"


def _next(report: Report) -> Iterator[str]:
    for name in (one.partition(":")[0] for one in report.stacks):
        if report.cluster.startswith("left"):
            yield f"next: `python -m ops recover --stack {name}` compares the state with the cluster, then `make up`"
        else:
            yield f"next: `make preview STACK={name}` shows no change once every part is up"
