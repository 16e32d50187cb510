"""Other people's tools and registries, from Go modules and Debian packages, as tests run them."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.alone import free_port
from local.build import Module, binaries, build, go_version
from local.roots import RootSpec, root
from local.steps import Steps
from model_build.places import cache_root
from tests.waiting import until

DEBIAN = RootSpec("registry-tools", packages=("skopeo", "umoci", "docker-registry"))
DOCKER = RootSpec("docker", packages=("docker.io", "containerd", "runc", "iptables"))
# Debian's 2.8, whose configuration is that of Distribution.
OLDER = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}", secret: tests}}
"""


def program(module: Module) -> Path:
    """Return the program of a Go module, built where it is missing."""
    go, cache = go_version(), cache_root()
    build((module,), cache, go, Steps())
    return next(path for path in binaries(module, cache, go).iterdir() if path.is_file())


def debian(name: str, *arguments: str | Path, folder: Path | None = None) -> str:
    """Run a program of DEBIAN to its end and return what it printed; a failure shows what it said."""
    command, environment = started(name)
    done = subprocess.run(
        [*command, *arguments], env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{name}: {done.stderr}{done.stdout}"
    return done.stdout


def started(name: str) -> tuple[list[str | Path], dict[str, str]]:
    """Return the command that starts a program of DEBIAN, and the environment in which it finds its libraries."""
    tree = root(DEBIAN, cache_root(), Steps())
    libraries = [path for path in (tree / "usr/lib/x86_64-linux-gnu", tree / "lib/x86_64-linux-gnu") if path.is_dir()]
    return [tree / "usr/bin" / name], {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}


@contextlib.contextmanager
def older_registry(folder: Path) -> Iterator[str]:
    """Yield the host of Debian's docker-registry 2.8."""
    host = f"127.0.0.1:{free_port()}"
    (folder / "config.yml").write_text(OLDER.format(folder=folder / "data", host=host))
    command, environment = started("docker-registry")
    with _running([*command, "serve", folder / "config.yml"], environment, host, folder):
        yield host


@contextlib.contextmanager
def memory_registry(crane: Path, folder: Path) -> Iterator[str]:
    """Yield the host of `crane registry serve`, which keeps everything in memory."""
    host = f"127.0.0.1:{free_port()}"
    with _running([crane, "registry", "serve", "--address", host], {}, host, folder):
        yield host


@contextlib.contextmanager
def _running(command: list[str | Path], environment: dict[str, str], host: str, folder: Path) -> Iterator[None]:
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: _listens(host), f"{host} listens")
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(host: str) -> bool:
    name, _, port = host.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((name, int(port)), 1):
        return True
    return False


@contextlib.contextmanager
def docker_daemon(folder: Path) -> Iterator[Callable[..., str]]:
    """Yield what runs `docker` against a daemon of its own; skips the test, with the reason, where none starts."""
    tree = root(DOCKER, cache_root(), Steps())
    libraries = [path for path in (tree / "usr/lib/x86_64-linux-gnu", tree / "lib/x86_64-linux-gnu") if path.is_dir()]
    programs = os.pathsep.join([str(tree / "usr/bin"), str(tree / "usr/sbin"), os.environ["PATH"]])
    own = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, libraries)), "PATH": programs, "HOME": str(folder)}
    host = ("--host", f"unix://{folder / 'docker.sock'}")

    def docker(*arguments: str) -> str:
        command: list[str | Path] = [tree / "usr/bin/docker", *host, *arguments]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"docker {arguments}: {done.stderr}"
        return done.stdout

    serving: list[str | Path] = [
        *(tree / "usr/sbin/dockerd", *host, "--data-root", folder / "data", "--exec-root", folder / "run"),
        *("--pidfile", folder / "docker.pid", "--iptables=false", "--ip6tables=false", "--bridge=none"),
    ]
    with (folder / "docker.log").open("wb") as log:
        daemon = subprocess.Popen(serving, env=own, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        with contextlib.suppress(AssertionError):
            until(lambda: daemon.poll() is not None or _answers(docker), "the docker daemon answers")
        if not _answers(docker):
            lines = (folder / "docker.log").read_text(errors="replace").strip().splitlines() or ["no message"]
            pytest.skip(f"no docker daemon starts here: {lines[-1][:300]}")
        yield docker
    finally:
        daemon.terminate()
        daemon.wait()


def _answers(docker: Callable[..., str]) -> bool:
    with contextlib.suppress(AssertionError):
        return bool(docker("info"))
    return False
