"""docker with a daemon of its own, from Debian packages: for tests and benchmarks, which find none installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.errors import PlatformError
from local.roots import RootSpec, libraries, root
from local.steps import Steps
from model_build.places import cache_root

PACKAGES = RootSpec("docker", packages=("docker.io", "containerd", "runc", "iptables"))
SECONDS = 30.0


@dataclass(frozen=True)
class Docker:
    """The client of a daemon: its command line, and the environment that it runs in."""

    command: tuple[str | Path, ...]
    environment: Mapping[str, str]

    def answers(self) -> bool:
        """Return whether the daemon does."""
        command = [*self.command, "info"]
        return not subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode


@contextlib.contextmanager
def running_docker(folder: Path) -> Iterator[Docker]:
    """Yield docker with its data in `folder`; raises PlatformError where its daemon does not start."""
    tree = root(PACKAGES, cache_root(), Steps())
    programs = os.pathsep.join([str(tree / "usr/bin"), str(tree / "usr/sbin"), os.environ["PATH"]])
    environment = os.environ | libraries(tree) | {"PATH": programs, "HOME": str(folder)}
    socket = ("--host", f"unix://{folder / 'docker.sock'}")
    command: list[str | Path] = [
        *(tree / "usr/sbin/dockerd", *socket, "--data-root", folder / "data", "--exec-root", folder / "run"),
        *("--pidfile", folder / "docker.pid", "--iptables=false", "--ip6tables=false", "--bridge=none"),
    ]
    log = folder / "docker.log"
    with log.open("wb") as told:
        daemon = subprocess.Popen(command, env=environment, stdout=told, stderr=told, stdin=subprocess.DEVNULL)
    try:
        docker = Docker((tree / "usr/bin/docker", *socket), environment)
        _await(docker, daemon, log)
        yield docker
    finally:
        daemon.terminate()
        daemon.wait()


def _await(docker: Docker, daemon: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and daemon.poll() is None:
        if docker.answers():
            return
        time.sleep(0.2)
    lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
    raise PlatformError(f"docker: its daemon does not start here: {lines[-1][:300]}")
