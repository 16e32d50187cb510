"""Other people's tools and registries, from Go modules and Debian packages, as tests run them."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.alone import free_port, serving
from local.build import Module, binaries, build, go_version
from local.docker import running_docker
from local.errors import PlatformError
from local.roots import RootSpec, libraries, root
from local.steps import Steps
from model_build.places import cache_root

DEBIAN = RootSpec("registry-tools", packages=("skopeo", "umoci", "docker-registry"))
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
    return [tree / "usr/bin" / name], libraries(tree)


@contextlib.contextmanager
def older_registry(folder: Path) -> Iterator[str]:
    """Yield the host of Debian's docker-registry 2.8."""
    host = f"127.0.0.1:{free_port()}"
    (folder / "config.yml").write_text(OLDER.format(folder=folder / "data", host=host))
    command, environment = started("docker-registry")
    with serving([*command, "serve", folder / "config.yml"], environment, host, folder / "registry.log"):
        yield host


@contextlib.contextmanager
def memory_registry(crane: Path, folder: Path) -> Iterator[str]:
    """Yield the host of `crane registry serve`, which keeps everything in memory."""
    host = f"127.0.0.1:{free_port()}"
    with serving([crane, "registry", "serve", "--address", host], {}, host, folder / "registry.log"):
        yield host


@contextlib.contextmanager
def docker_daemon(folder: Path) -> Iterator[Callable[..., str]]:
    """Yield what runs `docker` against a daemon of its own; skips the test, with the reason, where none starts."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(running_docker(folder))
        except PlatformError as error:
            pytest.skip(str(error))

        def docker(*arguments: str) -> str:
            command = [*started.command, *arguments]
            done = subprocess.run(command, env=started.environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"docker {arguments}: {done.stderr}"
            return done.stdout

        yield docker
