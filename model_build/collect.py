"""`gc`: removes from the cache what no build has used for some days."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_build.locks import exclusive

DAY = 86_400.0
PLACES = ("steps", "reports", "logs")


@dataclass(frozen=True)
class Removed:
    """What was removed, or would be: how many entries, and their bytes."""

    entries: int
    size: int


def collect(cache: Path, days: float, *, dry_run: bool) -> Removed:
    """Remove entries that were last used more than `days` days ago; a step that is being made is left alone."""
    before = time.time() - days * DAY
    entries, size = 0, 0
    for path in _entries(cache):
        # The lock keeps a build from reading what is being removed.
        with exclusive(cache / "locks" / path.name):
            if not path.exists() or path.stat().st_mtime >= before:
                continue
            entries, size = entries + 1, size + _size(path)
            if not dry_run:
                _remove(path)
    return Removed(entries, size)


def _entries(cache: Path) -> Iterator[Path]:
    for place in PLACES:
        folder = cache / place
        yield from sorted(folder.iterdir()) if folder.is_dir() else ()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
