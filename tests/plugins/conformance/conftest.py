"""Where the conformance cases run: `CONFORMANCE_*` points them at another provider, engine or cluster."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.plugins.install import install
from tests.plugins.conformance.harness import Cluster, Project


@pytest.fixture(scope="session")
def connection() -> dict[str, Any]:
    """The instance's connection.json, empty where a kubeconfig is named instead."""
    if os.environ.get("CONFORMANCE_KUBECONFIG"):
        return {}
    data = Path(os.environ.get("MODELSTACK_DATA", "/var/lib/modelstack"))
    path = data / os.environ.get("MODELSTACK_INSTANCE", "default") / "connection.json"
    assert path.is_file(), f"{path} is missing: run `python -m local up`, or set CONFORMANCE_KUBECONFIG"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="session")
def cluster(connection: dict[str, Any]) -> Cluster:
    return Cluster(Path(os.environ.get("CONFORMANCE_KUBECONFIG") or connection["kubeconfig"]))


@pytest.fixture(scope="session")
def engine() -> Path:
    found = os.environ.get("CONFORMANCE_PULUMI") or shutil.which("pulumi")
    assert found, "no engine: put pulumi on PATH or set CONFORMANCE_PULUMI"
    return Path(found)


@pytest.fixture(scope="session")
def pulumi_home() -> Path:
    """The provider under test: the stand-in, unless another PULUMI_HOME is named."""
    named = os.environ.get("CONFORMANCE_PULUMI_HOME")
    return Path(named) if named else install(Path(os.environ.get("MODELSTACK_CACHE", "/var/cache/modelstack")))


@pytest.fixture(scope="session")
def image(connection: dict[str, Any]) -> str:
    """An image that runs on the cluster."""
    found = os.environ.get("CONFORMANCE_IMAGE") or connection.get("images", {}).get("pause")
    if not found:
        pytest.skip("this cluster runs no pods: CONFORMANCE_IMAGE is not set")
    return str(found)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"plug-{secrets.token_hex(4)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete("v1", "Namespace", "", name)


@pytest.fixture
def project(tmp_path: Path, engine: Path, pulumi_home: Path, cluster: Cluster, namespace: str) -> Iterator[Project]:
    made = Project(tmp_path / "project", engine, pulumi_home, cluster.kubeconfig, namespace)
    yield made
    made.destroy()
