"""The embedded platform that a worker's end-to-end tests share, and which tests stay on one worker.

MODELSTACK_TEST_PLATFORM=keep reuses a running one and leaves it running; MODELSTACK_TEST_DATA names another folder.
"""

import hashlib
import os
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from local import connection, ports
from local.connection import Connection
from local.instance import PORTS_AN_INSTANCE
from local.lock import locked
from tests.registry import running_registry

PROJECT = Path(__file__).resolve().parent.parent
FIRST_PORTS = range(20000, 30000, PORTS_AN_INSTANCE)  # below those that the system gives to clients
STRANGE = ("MODELSTACK_", "PULUMI_")


@dataclass(frozen=True)
class Platform:
    """A running platform, and the environment in which `pulumi`, `ops` and `local` find it."""

    connection: Connection
    environment: dict[str, str]


def own_environment(instance: str, data: Path) -> dict[str, str]:
    """This process's environment with an instance of its own in place of the developer's settings."""
    kept = {"MODELSTACK_CACHE"}
    own = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(STRANGE)}
    return own | {"MODELSTACK_INSTANCE": instance, "MODELSTACK_DATA": str(data)}


def with_free_ports(environment: dict[str, str]) -> dict[str, str]:
    """The environment with a base port from which on every port is free, unless the instance has one already."""
    if (Path(environment["MODELSTACK_DATA"]) / environment["MODELSTACK_INSTANCE"] / "base-port").exists():
        return environment
    # In any order: two runs that begin at once seldom try the same range.
    tried = random.sample(FIRST_PORTS, len(FIRST_PORTS))
    first = next(base for base in tried if all(map(ports.is_free, range(base, base + PORTS_AN_INSTANCE))))
    return environment | {"MODELSTACK_BASE_PORT": str(first)}


def run_local(environment: dict[str, str], *arguments: str) -> str:
    """What `python -m local …` printed on standard output; its steps go to the test's own standard error."""
    command = [sys.executable, "-m", "local", *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, f"`python -m local {' '.join(arguments)}` ended with exit code {done.returncode}"
    return done.stdout


def completed(environment: dict[str, str]) -> dict[str, str]:
    """The environment with what `python -m local env` exports."""
    words = [shlex.split(line) for line in run_local(environment, "env").splitlines()]
    exported = (word.partition("=") for _, word in words)
    return environment | {name: value for name, _, value in exported}


class ByFile(LoadFileScheduling):  # type: ignore[misc] # xdist ships no types
    """Keeps a file's tests on one worker, and all of tests/e2e: each goes on with the stacks of the one before."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/e2e" if file.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Hand files to workers in the order they lie in, so that the long ones at the start begin first."""
    return ByFile(config, log)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line of figures at once, though the test passes."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", flush=True)

    return line


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host of a real registry, without a platform around it."""
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A platform of this worker's own; what a killed run left of it is removed first."""
    keep = os.environ.get("MODELSTACK_TEST_PLATFORM") == "keep"
    here = hashlib.sha256(bytes(PROJECT)).hexdigest()[:8]
    place = Path(os.environ.get("MODELSTACK_TEST_DATA") or Path(tempfile.gettempdir()) / f"modelstack-test-{here}")
    data = place / os.environ.get("PYTEST_XDIST_WORKER", "")
    own = own_environment("test", data)
    with locked(data / "tests.lock", "the platform of the tests", wait=False):
        if not keep:
            run_local(own, "reset")
        own = with_free_ports(own)
        try:
            run_local(own, "up")
            yield Platform(connection.read(data / "test" / "connection.json"), completed(own))
        finally:
            if not keep:
                run_local(own, "reset")
