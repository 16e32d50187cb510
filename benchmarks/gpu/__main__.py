"""`python -m benchmarks.gpu`: this project's server on the GPU and on the CPU, in turns. Run it by `make bench-gpu`."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.gpu import models, rows
from benchmarks.gpu.machine import NO_GPU, Card, NoGpuError, card, gpu_python
from benchmarks.gpu.rows import Level, Row, Turn
from benchmarks.serve.contenders import Contender, Start
from benchmarks.serve.serving import FailedError, Server, Truth, serving
from benchmarks.serve.wrk import Wrk, write_requests, wrk
from benchmarks.turns import rotated
from model_build.places import ROOT
from model_server import contract

WARM_SECONDS = 1.0
FLOOR_SECONDS = 1.0
PATIENCE = 30
# Of the largest value of an answer: tf32, which CUDA multiplies fp32 in, and float16 keep some three digits.
TOLERANCE = 0.02
BATCHES = re.compile(r"^modelstack_batch_samples_(sum|count)\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Served:
    """A model's folder on a device."""

    folder: Path
    device: str


def main() -> int:
    """Measure; returns 0, 2 where two cores are not to be had, or 3 where there is no GPU."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("error: 1 core is to be had, the limit is 2: the last one is wrk's", file=sys.stderr)
        return 2
    try:
        found = Card("a trial without a GPU", "none", 0) if options.device == "cpu" else card()
    except NoGpuError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_GPU
    with tempfile.TemporaryDirectory() as place:
        made = _made(Path(place))
        bench = _Bench(Path(place), gpu_python(), wrk(), cores, options)
        measured = bench.rounds(made)
    told = f"{found.name}, driver {found.driver}; {len(cores) - 1} cores for the server, one for wrk"
    print("\n".join([told, *rows.table(measured)]), end="\n\n")
    print(rows.last_line(measured, found.name, len(cores) - 1))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each server takes (default: 3)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of load at each level (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="default: 1 16 64")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu tries the benchmark itself")
    return parser.parse_args()


def _made(place: Path) -> list[Served]:
    """Write every network into a models' folder of its own; the CPU answers from the faster fp32 alone."""
    made = []
    for name in models.NETS:
        full, half = models.write(place / name, name)
        for folder in (full, half):
            # A server serves what lies in its folder.
            alone = place / f"served-{folder.name}"
            alone.mkdir()
            folder.rename(alone / folder.name)
            made.append(Served(alone / folder.name, "cuda"))
        made.append(Served(place / f"served-{full.name}" / full.name, "cpu"))
    return made


@dataclass(frozen=True)
class _Bench:
    """An interpreter for servers, their cores and, the last one, wrk's."""

    place: Path
    python: Path
    wrk: Wrk
    cores: Sequence[int]
    options: argparse.Namespace

    def rounds(self, made: Sequence[Served]) -> list[Row]:
        """Return the medians of servers that take turns, each started anew."""
        turns: dict[int, list[Turn]] = {at: [] for at in range(len(made))}
        for number in range(self.options.rounds):
            for at in rotated(list(turns), number):
                one = made[at]
                try:
                    turns[at].append(self._turn(one))
                    _tell(f"{number + 1}  {Row.of(one.folder.name, one.device, turns[at][-1:]).line()}")
                except FailedError as error:
                    _tell(f"{number + 1}  {one.folder.name} on {one.device}: {error}")
        for one in made:
            _tell(f"floor of {one.folder.name} on {one.device}: {self._floor(one)}")
        return [Row.of(one.folder.name, one.device, turns[at]) for at, one in enumerate(made) if turns[at]]

    def _turn(self, one: Served) -> Turn:
        os.sched_setaffinity(0, {self.cores[-1]})
        place = Path(tempfile.mkdtemp(dir=self.place))
        found = contract.load(one.folder)
        truth = _truth(one.folder)
        before = _used(self._device(one))
        contender = Contender(one.folder.name, lambda port: self._start(one, port), models.way(found))
        with serving(contender, ",".join(map(str, self.cores[:-1])), truth, place / "log") as server:
            server.check(truth)
            write_requests(server, truth, place / "requests")
            levels = {count: self._level(server, count, place / "requests") for count in self.options.connections}
            return Turn(server.seconds, server.memory, _used(self._device(one)) - before, levels)

    def _floor(self, one: Served) -> str:
        """Return what a loop over the session alone does."""
        os.sched_setaffinity(0, set(self.cores[:-1]))
        inputs = self.place / "floor.npy"
        np.save(inputs, np.load(one.folder / "golden.npz")["inputs"])
        further = [str(FLOOR_SECONDS), self._device(one), str(len(self.cores) - 1)]
        command: list[str | Path] = [
            self.python,
            "-m",
            "benchmarks.serve.floor",
            one.folder / "model.onnx",
            inputs,
            *further,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FailedError(f"the floor of {one.folder.name}: {done.stderr.strip()[-300:]}")
        told = json.loads(done.stdout)
        return f"{1e3 / told['one']:.2f} ms a call, {told['one']:.0f} calls/s, {told['many']:.0f} samples/s at 64"

    def _start(self, one: Served, port: int) -> Start:
        settings = {
            "MODELS": str(one.folder.parent),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DEVICE": self._device(one),
            "NATIVE": "0",
        }
        environment = {f"MODELSTACK_{key}": value for key, value in settings.items()}
        return Start((self.python, "-m", "model_server"), environment, ROOT)

    def _device(self, one: Served) -> str:
        return "cpu" if one.device == "cpu" else self.options.device

    def _level(self, server: Server, count: int, requests: Path) -> Level:
        self.wrk.loaded(server, count, WARM_SECONDS, self.cores[-1], requests, patience=PATIENCE)
        before = _batches(server)
        load = self.wrk.loaded(server, count, self.options.seconds, self.cores[-1], requests, patience=PATIENCE)
        samples, runs = (now - then for now, then in zip(_batches(server), before, strict=True))
        return Level(load, samples / max(runs, 1))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _truth(folder: Path) -> Truth:
    golden = np.load(folder / "golden.npz")
    inputs, outputs = golden["inputs"], golden["outputs"]
    return Truth([one[None] for one in inputs], list(outputs), TOLERANCE * float(np.abs(outputs).max()))


def _used(device: str) -> int:
    return 0 if device == "cpu" else card().used


def _batches(server: Server) -> tuple[float, float]:
    """Return samples and runs so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
        found = dict(BATCHES.findall(answer.read().decode()))
    return float(found["sum"]), float(found["count"])


if __name__ == "__main__":
    sys.exit(main())
