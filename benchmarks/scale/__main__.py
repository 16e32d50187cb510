"""`python -m benchmarks.scale`: stacks of 1, 10 and 100 models on a platform of their own. `make bench-scale`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quiet import Others
from benchmarks.scale.stacks import FailedError, Stack, floor, project
from model_build.places import ROOT

SIZES = (1, 10, 100)


@dataclass(frozen=True)
class Row:
    """Seconds of one size; `floor` is of as many resources that do nothing."""

    models: int
    resources: int
    up: float
    preview: float
    destroy: float
    floor_up: float
    floor_preview: float
    floor_destroy: float
    others: float
    """The share of the machine that other programs took, those of the platform among them."""


def main() -> int:
    """Measure; returns 0, or 1 where a stack failed."""
    options = _options()
    sizes = tuple(int(one) for one in options.models.split(","))
    with tempfile.TemporaryDirectory(prefix="modelstack-scale-") as folder, _platform(Path(folder)) as environment:
        clone = project(Path(folder), sizes)
        try:
            rows = [_measured(Path(folder), clone, environment, size, options.tries) for size in sizes]
        except FailedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
    print("\n".join(lines(rows)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--models", default=",".join(map(str, SIZES)), help="sizes, by commas (default: 1,10,100)")
    parser.add_argument("--tries", type=int, default=5, help="previews of each, in turn with the floor's (default: 5)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "scale.json")
    return parser.parse_args()


@contextmanager
def _platform(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a platform of the benchmark's own, which is gone afterwards."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    own |= {"MODELSTACK_INSTANCE": "scale", "MODELSTACK_DATA": str(folder / "data")}
    own |= {"PULUMI_PYTHON_CMD": sys.executable, "VIRTUAL_ENV": sys.prefix}
    try:
        _local(own, "up")
        _local(own, "bake", "prometheus")
        exported = [shlex.split(line)[1].partition("=") for line in _local(own, "env").splitlines()]
        yield {**own, **{name: value for name, _, value in exported}}
    finally:
        _local(own, "reset")


def _local(environment: Mapping[str, str], *command: str) -> str:
    words = [sys.executable, "-m", "local", *command]
    return subprocess.run(words, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True).stdout


def _measured(folder: Path, clone: Path, environment: Mapping[str, str], size: int, tries: int) -> Row:
    name = f"scale{size}"
    others = Others()
    ours = Stack(name, clone, environment)
    up = ours.timed("up")
    resources = ours.resources()
    bare = Stack(name, floor(folder, size, resources), environment)
    bare_up = bare.timed("up")
    # In turn, so that what else the machine does meets both.
    previews = [(ours.timed("preview"), bare.timed("preview")) for _ in range(tries)]
    row = Row(
        models=size,
        resources=resources,
        up=up,
        preview=statistics.median(one for one, _ in previews),
        destroy=ours.timed("destroy"),
        floor_up=bare_up,
        floor_preview=statistics.median(one for _, one in previews),
        floor_destroy=bare.timed("destroy"),
        others=others.share(),
    )
    ours.remove()
    bare.remove()
    print(f"{size} models: {json.dumps(asdict(row))}", file=sys.stderr, flush=True)
    return row


def lines(rows: list[Row]) -> list[str]:
    """Return the table, and the one line that a reader looks for."""
    head = f"{'models':>6} {'resources':>9} {'preview s':>10} {'floor':>6} {'up s':>7} {'floor':>6} "
    head += f"{'destroy s':>10} {'floor':>6}"
    table = [
        f"{one.models:>6} {one.resources:>9} {one.preview:>10.1f} {one.floor_preview:>6.1f} {one.up:>7.1f} "
        f"{one.floor_up:>6.1f} {one.destroy:>10.1f} {one.floor_destroy:>6.1f}"
        for one in rows
    ]
    sizes, seconds = ("/".join(f"{value:g}" for value in found) for found in _sizes_and_seconds(rows))
    largest = rows[-1]
    ratio = largest.preview / largest.floor_preview
    return [head, *table, f"scale: preview {sizes} models {seconds} s, {ratio:.1f}x of the floor"]


def _sizes_and_seconds(rows: list[Row]) -> tuple[list[float], list[float]]:
    return [one.models for one in rows], [float(f"{one.preview:.2g}") for one in rows]


if __name__ == "__main__":
    sys.exit(main())
