"""wrk, which keeps a number of connections busy: from PATH, else from its Debian package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serve.serving import FailedError, Server, Truth
from local.roots import RootSpec, root
from local.steps import Steps
from model_build.places import cache_root

PACKAGE = RootSpec("wrk", packages=("wrk",))
SCRIPT = Path(__file__).with_name("wrk.lua")
MARK = "measured "


@dataclass(frozen=True)
class Load:
    """Requests a second, milliseconds of a request, and microseconds of CPU that the server took for one."""

    rate: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True)
class Wrk:
    """The program, and where it finds its libraries."""

    program: Path
    environment: Mapping[str, str]

    def loaded(
        self, server: Server, connections: int, seconds: float, core: int, folder: Path, *, patience: int = 2
    ) -> Load:
        """Return what a server does with requests that lie in a folder.

        Raises FailedError where one was refused, or not answered within `patience` seconds.
        """
        count = len(list(folder.iterdir()))
        url = f"http://127.0.0.1:{server.port}{server.way.path}"
        command: list[str | Path] = ["taskset", "--cpu-list", str(core), self.program, "--threads", "1"]
        command += ["--connections", str(connections), "--duration", f"{seconds:.0f}s"]
        command += ["--timeout", f"{patience}s", "--script", SCRIPT]
        before = server.cpu_seconds
        done = subprocess.run(
            [*command, url, "--", folder, str(count)],
            env=os.environ | dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        found = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
        if done.returncode or not found:
            raise FailedError(f"wrk: {(done.stderr or done.stdout).strip()[-300:]}")
        return _load(json.loads(found[-1].removeprefix(MARK)), server.cpu_seconds - before)


def _load(told: Mapping[str, int], cpu: float) -> Load:
    if told["refused"] or told["failed"] or not told["requests"]:
        raise FailedError(
            f"of {told['requests']} answers {told['refused']} had an error's status; {told['failed']} requests got none"
        )
    requests, seconds = told["requests"], told["microseconds"] / 1e6
    return Load(requests / seconds, told["p50"] / 1000, told["p99"] / 1000, cpu / requests * 1e6)


def wrk() -> Wrk:
    """Return wrk; raises PlatformError where its package cannot be had."""
    installed = shutil.which("wrk")
    if installed is not None:
        return Wrk(Path(installed), {})
    tree = root(PACKAGE, cache_root(), Steps())
    libraries = [tree / "usr/lib/x86_64-linux-gnu", tree / "lib/x86_64-linux-gnu"]
    return Wrk(tree / "usr/bin/wrk", {"LD_LIBRARY_PATH": ":".join(map(str, libraries))})


def write_requests(server: Server, truth: Truth, folder: Path) -> None:
    """Write a request a digit into a folder, for `loaded`."""
    folder.mkdir()
    for number, digit in enumerate(truth.digits, 1):
        asked = server.way.write(digit)
        (folder / str(number)).write_bytes(asked.raw(f"127.0.0.1:{server.port}", server.way.path))
