"""`python -m benchmarks.bake`: fresh random weights into a local registry. Run it by `make bench-bake`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bake import contenders as ways
from benchmarks.bake.contenders import FLOOR, OURS, Contender
from benchmarks.bake.peers import buildah, docker
from benchmarks.bake.timing import FailedError, Run, emptied, held
from benchmarks.turns import rotated
from local.alone import running_registry
from local.errors import PlatformError
from model_build.places import ROOT

BLOCK = 16 * 1024 * 1024
SHARDS = 9
HEAD = 0.01


def main() -> int:
    """Measure; returns 0."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, contextlib.ExitStack() as stack:
        place = Path(folder)
        host = stack.enter_context(running_registry(place / "registry"))
        peers, skipped = _peers(place, stack)
        contenders = [ways.floor(), ways.ours(place / "memory"), *peers]
        bench = _Bench(place, host, int(options.gib * 1024**3))
        found, failed = bench.rounds(contenders, options.rounds)
        again = bench.again(ways.ours(place / "memory again"), options.rounds)
    skipped |= failed
    lines = [_line(found, options.gib, skipped), *again.lines]
    for name, reason in skipped.items():
        print(f"{name}: skipped: {reason}")
    _write(options.out, found, again, lines)
    print("\n".join(lines))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bake", description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the weights (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each contender takes (default: 5)")
    parser.add_argument("--folder", type=Path, help="where weights and registry lie (default: the system's own)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "bake.json")
    return parser.parse_args()


def _peers(place: Path, stack: contextlib.ExitStack) -> tuple[list[Contender], dict[str, str]]:
    found: list[Contender] = []
    skipped: dict[str, str] = {}
    for name, make in (("docker", docker), ("buildah", buildah)):
        try:
            found.append(stack.enter_context(make(place / name)))
        except (FailedError, PlatformError, OSError) as error:
            skipped[name] = str(error)
    return [*found, ways.crane(place)], skipped


class _Bench:
    """Fresh weights and a registry that starts each run empty."""

    def __init__(self, folder: Path, host: str, size: int) -> None:
        self._folder = folder
        self._host = host
        self._size = size
        self._data = folder / "registry" / "data"

    def rounds(self, contenders: Sequence[Contender], count: int) -> tuple[dict[str, list[Run]], dict[str, str]]:
        """Return each contender's runs, taken in turns on the same new bytes, and why some have none."""
        found: dict[str, list[Run]] = {one.name: [] for one in contenders}
        failed: dict[str, str] = {}
        weights = self._folder / "weights"
        weights.mkdir()
        for turn in range(count):
            _random(weights / "model.bin", self._size)
            for one in rotated(contenders, turn):
                if one.name in failed:
                    continue
                emptied(self._data)
                try:
                    found[one.name].append(one.bake(weights, self._host))
                    _tell(one.name, turn, found[one.name][-1])
                except FailedError as error:
                    failed[one.name] = str(error)
        (weights / "model.bin").unlink()
        return {name: runs for name, runs in found.items() if name not in failed}, failed

    def again(self, own: Contender, count: int) -> Again:
        """Return what a new head costs, and what nothing new does, of weights in files whose last has 1 % of them."""
        weights = self._folder / "shards"
        weights.mkdir()
        head = int(self._size * HEAD)
        full, heads, nothing, sent = [], [], [], []
        for turn in range(count):
            for number in range(SHARDS):
                _random(weights / f"weights-{number:03}.bin", (self._size - head) // SHARDS)
            _random(weights / "weights-head.bin", head)
            emptied(self._data)
            full.append(own.bake(weights, self._host))
            before = held(self._data)
            _random(weights / "weights-head.bin", head)
            os.sync()
            heads.append(own.bake(weights, self._host))
            after = held(self._data)
            nothing.append(own.bake(weights, self._host))
            sent.append((after - before, held(self._data) - after))
            for name, runs in (("full", full), ("head", heads), ("none", nothing)):
                _tell(name, turn, runs[-1])
        return Again(_seconds(full), _seconds(heads), _seconds(nothing), *sent[-1])


@dataclass(frozen=True)
class Again:
    """Seconds of a full bake, one with a new head, and one of nothing new; bytes that the latter two sent."""

    full: float
    head: float
    nothing: float
    head_bytes: int
    nothing_bytes: int

    @property
    def lines(self) -> list[str]:
        """What is printed of it."""
        return [
            f"rebake head: {self.head / self.full:.2f} of a full bake, {self.head_bytes / 1e6:.1f} MB sent",
            f"rebake none: {self.nothing:.1f} s, {self.nothing_bytes} blob bytes",
        ]


def _random(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        for at in range(0, size, BLOCK):
            stream.write(os.urandom(min(BLOCK, size - at)))
        os.fsync(stream.fileno())


def _tell(name: str, turn: int, run: Run) -> None:
    print(f"{turn + 1}  {name:<12}{run.seconds:>8.2f} s{run.peak / 1e6:>8.0f} MB", file=sys.stderr)


def _seconds(runs: Sequence[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _line(found: dict[str, list[Run]], gib: float, skipped: dict[str, str]) -> str:
    floor = _seconds(found[FLOOR])
    peers = [f"{name} {_seconds(runs) / floor:.1f}x" for name, runs in found.items() if name not in (FLOOR, OURS)]
    peers += [f"{name} skipped" for name in skipped]
    peak = max(run.peak for run in found[OURS])
    ratio = _seconds(found[OURS]) / floor
    return f"bake {gib:g}GiB: {ratio:.2f}x of the floor; {', '.join(peers)}; peak {peak / 1e6:.0f} MB"


def _write(out: Path, found: dict[str, list[Run]], again: Again, lines: list[str]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "runs": {name: [asdict(run) for run in runs] for name, runs in found.items()},
        "again": asdict(again),
        "lines": lines,
    }
    out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
