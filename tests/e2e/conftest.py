"""A clone on the tests' platform, and the stacks that are up in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import build
from tests.conftest import Platform, run_local
from tests.e2e.checkout import Checkout, clone
from tests.e2e.cluster import Cluster

# What an activated environment, and the `make` that runs the tests, would hand on to the commands of a user.
OF_THIS_RUN = {"VIRTUAL_ENV", "PULUMI_PYTHON_CMD", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"}


@pytest.fixture(scope="session")
def checkout(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clean clone, whose commands find the tests' platform."""
    folder = tmp_path_factory.mktemp("clone") / "modelstack"
    clone(folder)
    kept = {name: value for name, value in platform.environment.items() if name not in OF_THIS_RUN}
    return Checkout(
        folder, {**kept, "PYTHON": sys.executable, "PATH": f"{folder}/.venv/bin:{_without_own_venv(kept['PATH'])}"}
    )


@pytest.fixture(scope="session")
def blobs_before(platform: Platform) -> frozenset[str]:
    """The registry's blobs on disk before any stack was up, with the images that stacks run besides their models."""
    run_local(dict(platform.environment), "bake", "prometheus", "haproxy")
    return blobs(platform)


@pytest.fixture(scope="session")
def first_up(checkout: Checkout, blobs_before: frozenset[str]) -> Iterator[str]:
    """Stack dev brought up by `make up` in the clone; what it printed."""
    said = checkout.must("up")
    yield said
    for stack in ("dev", "test"):
        checkout.make("destroy", stack)


@pytest.fixture
def dev(checkout: Checkout, first_up: str) -> Checkout:
    """The clone with stack dev up."""
    return checkout


@pytest.fixture(scope="session")
def cluster(platform: Platform) -> Cluster:
    """The platform's API server."""
    cache = Path(platform.environment["MODELSTACK_CACHE"])
    program = build.binaries(build.KUBERNETES, cache, build.go_version()) / "kube"
    return Cluster((str(program), "kubectl"), platform.connection.kubeconfig)


def blobs(platform: Platform) -> frozenset[str]:
    """Return the digests of the blobs that lie on the registry's disk."""
    own = platform.environment
    registry = Path(own["MODELSTACK_DATA"], own["MODELSTACK_INSTANCE"], "volumes", "registry")
    return frozenset(path.parent.name for path in registry.glob("docker/registry/v2/blobs/sha256/*/*/data"))


def _without_own_venv(path: str) -> str:
    own = str(Path(sys.prefix) / "bin")
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if folder != own)
