"""What `make destroy` leaves: nothing of its stack, and everything of the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import urllib3

from tests.conftest import Platform
from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import blobs

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]


def test_destroying_one_stack_leaves_the_other_serving(dev: Checkout) -> None:
    dev.must("up", "test")
    assert "nothing of stack 'dev' is left in its cluster" in dev.must("destroy", "dev")
    dev.must("predict", "test")


def test_destroying_every_stack_leaves_nothing(
    dev: Checkout, cluster: Cluster, platform: Platform, blobs_before: frozenset[str]
) -> None:
    for stack in ("dev", "test"):
        dev.must("destroy", stack)
    assert namespaces(cluster) == set()
    registry = platform.connection.registry.push
    assert {model: tags(registry, f"modelstack/{model}") for model in ("digits", "mnist")} == {
        "digits": [],
        "mnist": [],
    }
    assert blobs(platform) - blobs_before == set()
    state = Path(platform.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    named = re.compile(r"(^|\.)(dev|test)\.")
    assert [path for path in state.rglob("*") if path.is_file() and named.search(path.name)] == []


def namespaces(cluster: Cluster) -> set[str]:
    names = {one["metadata"]["name"] for one in cluster.items("namespaces")}
    return {name for name in names if name.startswith("modelstack-")}


def tags(registry: str, repository: str) -> list[str]:
    answer = urllib3.request("GET", f"http://{registry}/v2/{repository}/tags/list", timeout=10)
    return [] if answer.status == 404 else (answer.json().get("tags") or [])
