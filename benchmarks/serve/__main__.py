"""`python -m benchmarks.serve`: the digits model behind several servers, in turns. Run it by `make bench-serve`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.quiet import MOST, Others
from benchmarks.serve import asking, contenders, stacks
from benchmarks.serve import model as models
from benchmarks.serve.contenders import NATIVE, NATIVE_BYTES, OURS_BYTES, Contender
from benchmarks.serve.model import Floor, Model
from benchmarks.serve.rows import Found, Row, Turn
from benchmarks.serve.serving import FailedError, serving
from benchmarks.serve.wrk import Load, Wrk, write_requests, wrk
from benchmarks.turns import rotated
from model_build.errors import EnvironmentFault
from model_build.host import instruction_sets
from model_build.places import ROOT

WARM_SECONDS = 1.0
FLOOR_SECONDS = 1.0


def main() -> int:
    """Measure; returns 0, or 2 where two cores are not to be had."""
    # Servers and their workers end with the benchmark, however it is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("error: 1 core is to be had, the limit is 2: one for the server and one for wrk", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = models.digits(place / "models")
        made, skipped = _made(_stacks if options.stacks else _servers, model, place, options.only)
        bench = _Bench(place, model, wrk(), cores[0], cores[-1], options)
        found = bench.rounds(made, skipped)
    print("\n".join(found.lines()), end="\n\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    told = {"host": instruction_sets(), "rounds": options.rounds, "seconds": options.seconds, **found.values()}
    options.out.write_text(json.dumps(told, indent=1) + "\n")
    for name in (OURS_BYTES, NATIVE_BYTES, NATIVE):
        if found.row(name) is not None:
            print(f"{name.removeprefix('modelstack, ')}: {found.last_line(name)}")
    print(found.last_line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each server takes (default: 3)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of load at each level (default: 3)")
    parser.add_argument("--tries", type=int, default=1, help="of each turn, while other programs run (default: 1)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="default: 1 16 64")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these servers alone")
    parser.add_argument("--stacks", action="store_true", help="bare web stacks in place of other people's servers")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/serve.json or serve-stacks.json")
    options = parser.parse_args()
    if options.out is None:
        name = "serve-stacks.json" if options.stacks else "serve.json"
        options.out = ROOT / "benchmarks" / "results" / name
    return options


Make = Callable[[], Contender]
Measured = TypeVar("Measured", Turn, Floor)


def _servers(model: Model, place: Path) -> dict[str, Make]:
    return {
        contenders.OURS: lambda: contenders.ours(model.models),
        OURS_BYTES: lambda: contenders.ours(model.models, OURS_BYTES, asking.V2_BYTES),
        NATIVE: lambda: contenders.native(model.models),
        NATIVE_BYTES: lambda: contenders.native(model.models, NATIVE_BYTES, asking.V2_BYTES),
        contenders.FASTAPI: lambda: contenders.by_hand(model.file),
        "LitServe": lambda: contenders.litserve(model.file),
        "BentoML": lambda: contenders.bentoml(model.file),
        "MLServer": lambda: contenders.mlserver(model.file, place / "mlserver"),
        "KServe": lambda: contenders.kserve(model.file),
    }


def _stacks(model: Model, _: Path) -> dict[str, Make]:
    long = "modelstack, long way"
    return {
        contenders.OURS: lambda: contenders.ours(model.models),
        long: lambda: contenders.ours(model.models, long, asking.V2_LONG),
        **{one: stacks.making(one, model.file) for one in stacks.COMMANDS},
    }


def _made(
    choice: Callable[[Model, Path], dict[str, Make]], model: Model, place: Path, only: Sequence[str] | None
) -> tuple[list[Contender], dict[str, str]]:
    found: list[Contender] = []
    skipped: dict[str, str] = {}
    for name, make in choice(model, place).items():
        if only is not None and name not in only:
            continue
        try:
            found.append(make())
        except EnvironmentFault as error:
            skipped[name] = str(error)
    return found, skipped


@dataclass(frozen=True)
class _Bench:
    """A model, a core for servers and one for wrk."""

    folder: Path
    model: Model
    wrk: Wrk
    served: int
    loading: int
    options: argparse.Namespace

    def rounds(self, made: Sequence[Contender], skipped: dict[str, str]) -> Found:
        """Return the medians of servers that take turns, each started anew; one that fails is left out."""
        turns: dict[str, list[Turn]] = {one.name: [] for one in made}
        floors = []
        for turn in range(self.options.rounds):
            floors.append(self._quietest(lambda: models.floor(self.model, self.served, FLOOR_SECONDS)))
            print(
                f"{turn + 1}  {'floor':<22}{floors[-1].one:>18.0f} calls/s{floors[-1].others:>8.0%} others",
                file=sys.stderr,
                flush=True,
            )
            for one in rotated(made, turn):
                if one.name in skipped:
                    continue
                try:
                    turns[one.name].append(self._quietest(partial(self._turn, one)))
                    _tell(one.name, turn, turns[one.name][-1])
                except FailedError as error:
                    skipped[one.name] = str(error)
        rows = tuple(Row.of(name, found) for name, found in turns.items() if name not in skipped)
        return Found(floors, rows, skipped)

    def _quietest(self, measure: Callable[[], Measured]) -> Measured:
        """Return the first measurement while the machine was quiet, else that when it was quietest."""
        found: list[Measured] = []
        while not found or (found[-1].others > MOST and len(found) < self.options.tries):
            found.append(measure())
        return min(found, key=lambda one: one.others)

    def _turn(self, one: Contender) -> Turn:
        os.sched_setaffinity(0, {self.loading})
        place = Path(tempfile.mkdtemp(dir=self.folder))
        with serving(one, self.served, self.model.truth, place / "log") as server:
            server.check(self.model.truth)
            write_requests(server, self.model.truth, place / "requests")

            def load(connections: int, seconds: float) -> Load:
                return self.wrk.loaded(server, connections, seconds, self.loading, place / "requests")

            load(max(self.options.connections), WARM_SECONDS)
            others = Others(lambda: server.cpu_seconds)
            loads = {count: load(count, self.options.seconds) for count in self.options.connections}
            return Turn(server.seconds, server.memory, loads, others.share())


def _tell(name: str, turn: int, found: Turn) -> None:
    rates = "".join(f"{load.rate:>9.0f}" for load in found.loads.values())
    print(
        f"{turn + 1}  {name:<22}{found.seconds:>6.2f} s{rates} requests/s{found.others:>8.0%} others",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
