"""Content hashes of values, files and folders, the same on every machine and in every folder."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from model_build.errors import RecipeError

IGNORED_FOLDERS = {"__pycache__"}
IGNORED_SUFFIXES = (".pyc", ".pyo", "~", ".swp")


def canonical(value: object) -> bytes:
    """Return the one JSON spelling of `value`; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def hash_value(value: object) -> str:
    """Return the sha256 (hex) of a JSON-like value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def hash_file(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder` in sorted order; caches, hidden files and editor backups are left out."""
    for path in sorted(folder.iterdir(), key=lambda one: one.name):
        if path.name.startswith(".") or path.name in IGNORED_FOLDERS or path.name.endswith(IGNORED_SUFFIXES):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from source_files(path)
            continue
        yield path


def hash_folder(folder: Path, *, leave_out: Iterable[Path] = ()) -> str:
    """Return a hash over relative names and contents below `folder`; raises RecipeError for a link that leaves it."""
    home = folder.resolve()
    entries = {}
    left_out = {path.resolve() for path in leave_out}
    for path in source_files(folder):
        name = path.relative_to(folder)
        # A link is followed; to resolve every path would take longer than to read the files.
        target = path.resolve() if path.is_symlink() else home / name
        if not target.is_relative_to(home) or not target.is_file():
            raise RecipeError(
                f"{path}: points at {target}, which is no file inside {home}; copy the file into the folder"
            )
        if target not in left_out:
            entries[name.as_posix()] = hash_file(target)
    return hash_value(entries)
