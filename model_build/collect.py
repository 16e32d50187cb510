"""`gc`: removes from the cache what no build has used for some days."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DAY = 86_400.0
PLACES = ("steps", "reports", "logs", "pushes/digests", "pushes/places", "pushes/shapes")


@dataclass(frozen=True)
class Removed:
    """What was removed, or would be: how many entries, and their bytes."""

    entries: int
    size: int


def collect(cache: Path, days: float, *, dry_run: bool) -> Removed:
    """Remove entries that were last used more than `days` days ago.

    A build that comes to use one of them in that moment finds it damaged or missing, and has to be run again.
    """
    before = time.time() - days * DAY
    old = [path for path in _entries(cache) if path.stat().st_mtime < before]
    removed = Removed(len(old), sum(map(_size, old)))
    if not dry_run:
        for path in old:
            _remove(path)
    return removed


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
