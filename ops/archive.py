"""What a backup's folder holds: `manifest.json`, with a sha256 sum of every other file that is checked first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_build.errors import DataError, RegistryError
from ops.engine import State, resources
from ops.layout import Layout

FORMAT = 1
MANIFEST = "manifest.json"
IMAGES, STATE, PLATFORM = "images", "state", "platform"
CHUNK = 1 << 20
NAME = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"  # as the engine has it; it becomes a path


class ArchiveError(Exception):
    """A folder is no backup that can be used here; the message says why and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StackPart(_Part):
    """One stack: its state in `state/<name>.json`, what encrypts its secrets, and the URL of a key service."""

    name: str = Field(pattern=NAME)
    resources: int
    encrypted_by: str
    key_service: str = ""


class RepositoryPart(_Part):
    """What the stacks hold in one repository: tags, and every manifest, by digest, with what is attached to it."""

    registry: str
    repository: str
    docker_config: str | None
    tags: dict[str, str]
    manifests: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """Digests that a state names and the registry had no more."""


class Contents(_Part):
    """A backup's manifest; `files` maps each other file to its sha256 sum."""

    format: int
    project: str
    made: str
    engine: str
    embedded: bool
    stacks: tuple[StackPart, ...]
    repositories: tuple[RepositoryPart, ...]
    files: dict[str, str]

    def state(self, folder: Path, stack: StackPart) -> State:
        """Return a stack's state as the engine exported it; raises ArchiveError."""
        path = folder / state_file(stack.name)
        try:
            found = json.loads(path.read_bytes())
            resources(found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{path}: is no exported state ({error}); take another backup") from error
        return dict(found)


def state_file(stack: str) -> str:
    """Return the path of a stack's state in a backup."""
    return f"{STATE}/{stack}.json"


def sums(folder: Path) -> dict[str, str]:
    """Return the sha256 sum of every file but the manifest, by its path in the folder."""
    return {name: _sum(path) for name, path in _files(folder) if name != MANIFEST}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArchiveError(f"{path}: is neither file nor folder, which no backup holds; take another copy")
        if path.is_file():
            yield str(path.relative_to(folder)), path


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write(folder: Path, contents: Contents) -> None:
    """Write the manifest: the last file of a backup."""
    (folder / MANIFEST).write_text(contents.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read(folder: Path, project: str) -> Contents:
    """Return what a backup of `project` holds, once every byte of it was checked; raises ArchiveError."""
    contents = _contents(folder)
    if contents.project != project:
        raise ArchiveError(f"{folder}: is a backup of project {contents.project!r}, not of {project!r}; run this there")
    _require_same_files(folder, contents)
    for stack in contents.stacks:
        _require_own(contents, stack, contents.state(folder, stack))
    _require_whole_images(folder, contents)
    return contents


def _contents(folder: Path) -> Contents:
    path = folder / MANIFEST
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        number = int(told["format"])
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}; name a folder that `ops backup` wrote") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path}: is no backup's manifest ({error!r}); take another copy") from error
    if number > FORMAT:
        raise ArchiveError(
            f"{path}: format {number} is newer than {FORMAT}, the last that this version reads; restore it with the "
            "version that wrote it"
        )
    try:
        return Contents.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArchiveError(f"{path}: {where}: {first['msg']}; take another copy") from error


def _require_same_files(folder: Path, contents: Contents) -> None:
    found = sums(folder)
    for name in sorted(found.keys() | contents.files.keys()):
        if name not in found:
            raise ArchiveError(f"{folder / name}: is missing; take another copy")
        if name not in contents.files:
            raise ArchiveError(f"{folder / name}: is in no manifest; remove it, or take another copy")
        if found[name] != contents.files[name]:
            raise ArchiveError(
                f"{folder / name}: has sha256 {found[name][:12]}…, not {contents.files[name][:12]}…; take another copy"
            )


def _require_own(contents: Contents, stack: StackPart, state: State) -> None:
    prefix = f"urn:pulumi:{stack.name}::{contents.project}::"
    strange = next((one["urn"] for one in resources(state) if not str(one["urn"]).startswith(prefix)), None)
    if strange:
        raise ArchiveError(f"{state_file(stack.name)}: names {strange}, which is of another stack; take another copy")


def _require_whole_images(folder: Path, contents: Contents) -> None:
    layout = Layout(folder / IMAGES)
    try:
        for one in contents.repositories:
            for digest in {*one.manifests, *one.tags.values()}:
                lacking = layout.missing(digest)
                if lacking:
                    raise ArchiveError(f"{one.repository}@{digest}: {lacking[0]} is missing; take another copy")
    except (DataError, RegistryError) as error:
        raise ArchiveError(str(error)) from error
