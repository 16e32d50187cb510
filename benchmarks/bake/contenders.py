"""The programs that bring a folder of weights into a registry: ours, the floor, and other people's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import urllib3

from benchmarks.bake.timing import FailedError, Run, run
from local.build import CRANE, binaries, build, go_version
from local.steps import Steps
from model_build.hashing import hash_file
from model_build.places import ROOT, cache_root

Bake = Callable[[Path, str], Run]
OURS, FLOOR = "modelstack", "curl"


@dataclass(frozen=True)
class Contender:
    """A way to bring a folder of weights into the registry at a host."""

    name: str
    bake: Bake


def ours(memory: Path) -> Contender:
    """Return our own, which remembers in `memory` what it found out."""

    def bake(weights: Path, host: str) -> Run:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "benchmarks.bake.ours",
            weights,
            f"{host}/bench/ours",
            memory,
        ]
        return run(command, folder=ROOT)

    return Contender(OURS, bake)


def floor() -> Contender:
    """Return one streamed PUT of each file by curl, whose digests are known before and which makes no image."""

    def bake(weights: Path, host: str) -> Run:
        urls = [_opened(host, hash_file(path)) for path in _files(weights)]
        runs = [_put(path, url) for path, url in zip(_files(weights), urls, strict=True)]
        return Run(sum(one.seconds for one in runs), max(one.peak for one in runs))

    return Contender(FLOOR, bake)


def _put(path: Path, url: str) -> Run:
    headers = ["-H", "Content-Type: application/octet-stream", "-H", "Expect:"]
    return run(["curl", "--silent", "--show-error", "--fail", "-X", "PUT", *headers, "-T", path, url])


def _opened(host: str, digest: str) -> str:
    answer = urllib3.request("POST", f"http://{host}/v2/bench/floor/blobs/uploads/", retries=False)
    if answer.status != 202:
        raise FailedError(f"registry {host}: {answer.status} to a new upload")
    return f"{answer.headers['Location']}&digest=sha256:{digest}"


def crane(folder: Path) -> Contender:
    """Return tar, then crane, which needs the layer as a file."""
    go, cache = go_version(), cache_root()
    build((CRANE,), cache, go, Steps())
    program = binaries(CRANE, cache, go) / "crane"

    def bake(weights: Path, host: str) -> Run:
        layer = folder / "layer.tar"
        packed = run(["tar", "-cf", layer, "-C", weights.parent, weights.name])
        try:
            pushed = run([program, "append", "--insecure", "-f", layer, "-t", f"{host}/bench/crane:v1"])
        finally:
            layer.unlink()
        return _both(packed, pushed)

    return Contender("crane", bake)


def _both(*runs: Run) -> Run:
    return Run(sum(one.seconds for one in runs), max(one.peak for one in runs))


def in_turn(commands: Sequence[Sequence[str | Path]], environment: dict[str, str] | None = None) -> Run:
    """Run one program after the other."""
    return _both(*(run(command, environment) for command in commands))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
