"""Artifacts of steps by content: `<cache>/steps/<key>/`, written once, checked on every read."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.hashing import hash_file, hash_value
from model_build.locks import exclusive, try_lock

RECORD = "step.json"


@dataclass(frozen=True)
class Stored:
    """A step's artifact: its folder, the digest of its files, the seconds it took and what it told."""

    path: Path
    digest: str
    seconds: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class StepStore:
    """The store below one cache folder."""

    root: Path

    def get(self, key: str) -> Stored | None:
        """Return the artifact for `key`, or None where it is missing or was damaged."""
        folder = self.root / "steps" / key
        try:
            record = json.loads((folder / RECORD).read_bytes())
            claimed = record.pop("checksum")
            sound = claimed == hash_value(record) and record["files"] == _files(folder / "out")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        if not sound:
            return None
        with suppress(OSError):
            os.utime(folder)  # `gc` goes by when an artifact was last of use
        return Stored(folder / "out", hash_value(record["files"]), record["seconds"], record["facts"])

    def locked(self, key: str, waiting: Callable[[], None]) -> AbstractContextManager[int]:
        """Hold `key`, so that two builds do not make the same artifact at once."""
        return exclusive(self.root / "locks" / key, waiting)

    def put(self, key: str, made: Path, *, seconds: float, facts: dict[str, Any]) -> Stored:
        """Move the folder `made` (below a `scratch`) into the store under `key` in one rename."""
        record = {"files": _files(made), "seconds": round(seconds, 3), "facts": facts}
        whole = made.parent / f"{made.name}.step"
        whole.mkdir()
        made.rename(whole / "out")
        (whole / RECORD).write_text(json.dumps({**record, "checksum": hash_value(record)}, indent=1, sort_keys=True))
        target = self.root / "steps" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(made.parent / f"{made.name}.damaged")
        whole.rename(target)
        return Stored(target / "out", hash_value(record["files"]), round(seconds, 3), facts)

    def once(self, key: str, make: Callable[[Path], Path], waiting: Callable[[], None] = lambda: None) -> Path:
        """Return the folder under `key`; where it is missing `make` makes it below the scratch folder it is given."""
        found = self.get(key)
        if found is not None:
            return found.path
        with self.locked(key, waiting):
            found = self.get(key)
            if found is None:
                began = time.monotonic()
                with self.scratch() as scratch:
                    found = self.put(key, make(scratch), seconds=time.monotonic() - began, facts={})
        return found.path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a temporary folder; it goes at the end, or with the next build where this one is killed."""
        home = self.root / "tmp"
        home.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "locks" / "scratch"):
            folder = Path(tempfile.mkdtemp(dir=home))
            handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try_lock(handle)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)

    def sweep(self) -> int:
        """Remove temporary folders of builds that no longer live; returns how many."""
        home = self.root / "tmp"
        home.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "locks" / "scratch"):
            return sum(_remove_if_left(folder) for folder in home.iterdir())


def _remove_if_left(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not try_lock(handle):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(handle)


def _files(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path} is a link or no plain file; a step writes plain files")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = hash_file(path)
    return found
