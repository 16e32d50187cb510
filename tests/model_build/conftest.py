"""A real registry on a free loopback port, and small recipes."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.build import REGISTRY, binaries, build, go_version
from local.steps import Steps
from model_build.oci.registry import Registry
from model_build.places import ROOT, cache_root

CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}", secret: tests}}
"""
BUILD_PYTHON = ROOT / ".venv-build" / "bin" / "python"


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Yield the host of a Distribution registry with its data in `folder`."""
    go, cache = go_version(), cache_root()
    build((REGISTRY,), cache, go, Steps())
    host = f"127.0.0.1:{free_port()}"
    configuration = folder / "registry.yaml"
    configuration.write_text(CONFIGURATION.format(folder=folder / "data", host=host))
    program = binaries(REGISTRY, cache, go) / "registry"
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", configuration], stdout=log, stderr=log)
    try:
        wait_for(host)
        yield host
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(host: str) -> None:
    name, _, port = host.partition(":")
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection((name, int(port)), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{host} does not listen")


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def registry(host: str) -> Registry:
    return Registry(host)


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository that no other test uses."""
    return f"tests/{request.node.name[:100].replace('_', '-').lower().strip('-')}"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The digits recipe in a folder of its own."""
    folder = tmp_path / "models" / "digits"
    shutil.copytree(ROOT / "models" / "digits", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "recipe.yaml"


def replaced(recipe: Path, old: str, new: str) -> None:
    """Change the recipe's text; a test whose text is not there fails."""
    text = recipe.read_text()
    assert old in text, f"{old!r} is not in {recipe}"
    recipe.write_text(text.replace(old, new))
