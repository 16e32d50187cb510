"""Other people's builders, from Debian packages that are laid out in the cache and started from there."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bake.contenders import Bake, Contender, in_turn
from benchmarks.bake.timing import FailedError, Run
from local.roots import RootSpec, root
from local.steps import Steps
from model_build.places import cache_root

BUILDAH = RootSpec("buildah", packages=("buildah",))
DOCKER = RootSpec("docker", packages=("docker.io", "containerd", "runc", "iptables"))
SECONDS = 30.0


@contextlib.contextmanager
def buildah(folder: Path) -> Iterator[Contender]:
    """Yield buildah with a storage of its own; raises PlatformError where its packages cannot be had."""
    tree = root(BUILDAH, cache_root(), Steps())
    folder.mkdir()
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (folder / "registries.conf").write_text("")
    environment = _libraries(tree) | {
        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }
    storage = ("--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs")
    program = (tree / "usr/bin/buildah", *storage, "--registries-conf", folder / "registries.conf")
    policy = ("--signature-policy", folder / "policy.json")

    def bake(weights: Path, host: str) -> Run:
        (weights.parent / "Containerfile").write_text(f"FROM scratch\nCOPY {weights.name} /models/weights\n")
        image = f"{host}/bench/buildah:v1"
        file = ("-f", weights.parent / "Containerfile")
        build: list[str | Path] = [
            *program,
            "build",
            *policy,
            "--isolation",
            "chroot",
            "--ignorefile",
            folder / "ignored",
            *file,
        ]
        push: list[str | Path] = [*program, "push", *policy, "--tls-verify=false", image]
        (folder / "ignored").write_text(f"*\n!{weights.name}\n")
        try:
            return in_turn([[*build, "-t", image, weights.parent], push], environment)
        finally:
            in_turn([[*program, "rmi", "--all", "--force"]], environment)

    yield Contender("buildah", bake)


@contextlib.contextmanager
def docker(folder: Path) -> Iterator[Contender]:
    """Yield docker with a daemon of its own; raises FailedError where the daemon does not start."""
    tree = root(DOCKER, cache_root(), Steps())
    folder.mkdir()
    socket = f"unix://{folder / 'docker.sock'}"
    environment = _libraries(tree)
    command: list[str | Path] = [
        *(tree / "usr/sbin/dockerd", "--host", socket, "--data-root", folder / "data", "--exec-root", folder / "run"),
        *("--pidfile", folder / "docker.pid", "--iptables=false", "--ip6tables=false", "--bridge=none"),
    ]
    client: list[str | Path] = [tree / "usr/bin/docker", "--host", socket]
    with (folder / "docker.log").open("wb") as log:
        daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _await(client, daemon, folder / "docker.log", environment)
        yield Contender("docker", _by_docker(client, environment))
    finally:
        daemon.terminate()
        daemon.wait()


def _by_docker(client: list[str | Path], environment: dict[str, str]) -> Bake:
    def bake(weights: Path, host: str) -> Run:
        image = f"{host}/bench/docker:v1"
        (weights.parent / "Dockerfile").write_text(f"FROM scratch\nCOPY {weights.name} /models/weights\n")
        (weights.parent / ".dockerignore").write_text(f"*\n!{weights.name}\n")
        build = [*client, "build", "--quiet", "-t", image, weights.parent]
        try:
            return in_turn([build, [*client, "push", "--quiet", image]], environment | {"DOCKER_BUILDKIT": "0"})
        finally:
            in_turn([[*client, "system", "prune", "--all", "--force"]], environment)

    return bake


def _await(client: list[str | Path], daemon: subprocess.Popen[bytes], log: Path, environment: dict[str, str]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and daemon.poll() is None:
        if not subprocess.run([*client, "info"], env=environment, capture_output=True, check=False).returncode:
            return
        time.sleep(0.2)
    lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
    raise FailedError(f"its daemon does not start: {lines[-1][:300]}")


def _libraries(tree: Path) -> dict[str, str]:
    folders = [tree / "usr/lib/x86_64-linux-gnu", tree / "lib/x86_64-linux-gnu"]
    paths = [tree / "usr/bin", tree / "usr/sbin"]
    return {
        "LD_LIBRARY_PATH": ":".join(map(str, folders)),
        "PATH": ":".join([*map(str, paths), "/usr/bin", "/bin", "/usr/sbin", "/sbin"]),
        "HOME": str(tree),
    }
