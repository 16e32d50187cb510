"""Where programs run: the tests' own platform, unless `CONFORMANCE_*` names another cluster, engine or provider."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from local.plugins.install import install
from tests.plugins.conformance.harness import Cluster, Project


@dataclass(frozen=True)
class Place:
    """A cluster, and the environment in which programs reach it."""

    kubeconfig: Path
    environment: dict[str, str]
    images: dict[str, str]

    def image(self, name: str) -> str:
        """An image that the cluster can run; the base image holds Python, the pause image waits."""
        found = os.environ.get(f"CONFORMANCE_{name.upper()}_IMAGE") or self.images.get(name)
        assert found, f"CONFORMANCE_{name.upper()}_IMAGE is not set: name an image that this cluster can pull"
        return found


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Place:
    named = os.environ.get("CONFORMANCE_KUBECONFIG")
    if named:
        return Place(Path(named), dict(os.environ), {})
    platform = request.getfixturevalue("platform")
    return Place(Path(platform.connection.kubeconfig), platform.environment, dict(platform.connection.images))


@pytest.fixture(scope="session")
def cluster(place: Place) -> Cluster:
    return Cluster(place.kubeconfig)


@pytest.fixture(scope="session")
def engine(place: Place) -> Path:
    found = os.environ.get("CONFORMANCE_PULUMI") or shutil.which("pulumi", path=place.environment.get("PATH"))
    assert found, "no engine: put pulumi on PATH or set CONFORMANCE_PULUMI"
    return Path(found)


@pytest.fixture(scope="session")
def pulumi_home(place: Place) -> Path:
    """The provider under test: the stand-in, unless another PULUMI_HOME is named."""
    named = os.environ.get("CONFORMANCE_PULUMI_HOME") or place.environment.get("PULUMI_HOME")
    return Path(named) if named else install(Path(os.environ.get("MODELSTACK_CACHE", "/var/cache/modelstack")))


@pytest.fixture(scope="session")
def image(place: Place) -> str:
    """An image whose only program waits."""
    return place.image("pause")


@pytest.fixture(scope="session")
def python_image(place: Place) -> str:
    """An image with Python, at CONFORMANCE_PYTHON or /usr/bin/python3.11."""
    return place.image("base")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"plug-{secrets.token_hex(4)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete("v1", "Namespace", "", name)


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory: pytest.TempPathFactory, engine: Path, pulumi_home: Path, place: Place) -> Project:
    made = Project(
        tmp_path_factory.mktemp("empty") / "project", engine, pulumi_home, place.kubeconfig, "", place.environment
    )
    made.init()
    return made


@pytest.fixture
def project(tmp_path: Path, empty_project: Project, namespace: str) -> Iterator[Project]:
    folder = tmp_path / "project"
    shutil.copytree(empty_project.folder, folder)
    made = replace(empty_project, folder=folder, namespace=namespace)
    yield made
    made.clean()
