"""`gc`: removes from the cache what no build has used for some days."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DAY = 86_400.0
PLACES = ("steps", "reports", "logs", "pushes/digests", "pushes/places", "pushes/shapes")


@dataclass(frozen=True)
class Unused:
    """How many entries no build has used, and their bytes."""

    entries: int
    size: int


@dataclass(frozen=True)
class Found:
    """What no build has used, by its place in the cache; places without any are left out."""

    places: Mapping[str, Unused]

    @property
    def entries(self) -> int:
        """How many entries there are in all."""
        return sum(one.entries for one in self.places.values())

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(one.size for one in self.places.values())


def collect(cache: Path, days: float, *, remove: bool) -> Found:
    """Return what was last used more than `days` days ago, and with `remove` remove it.

    A build that comes to use one of them in that moment finds it damaged or missing, and has to be run again.
    """
    before = time.time() - days * DAY
    old = {place: [path for path in _entries(cache / place) if path.stat().st_mtime < before] for place in PLACES}
    found = Found({place: Unused(len(paths), sum(map(_size, paths))) for place, paths in old.items() if paths})
    if remove:
        for path in (one for paths in old.values() for one in paths):
            _remove(path)
    return found


def _entries(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.iterdir()) if folder.is_dir() else ()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
