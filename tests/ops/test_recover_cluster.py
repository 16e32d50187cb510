"""A stack with objects in a real cluster whose engine is killed: after `ops recover` state and cluster agree."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.engine import Engine
from ops.teardown import left
from tests.conftest import Platform
from tests.ops.recovering import (
    assert_destroy_leaves_nothing,
    assert_up_settles,
    begins,
    ended,
    exported,
    recovered,
)
from tests.provider.clusters import Kubectl
from tests.provider.conftest import administrator
from tests.provider.stacks import Project, Stack
from tests.ways import Way, way_to_cluster

pytestmark = pytest.mark.e2e
__all__ = ["administrator"]  # a fixture of the tests below

PROGRAM = """
import os
import pulumi
import pulumi_kubernetes as kubernetes

cluster = kubernetes.Provider("cluster", kubeconfig=os.environ["CLUSTER"])
opts = pulumi.ResourceOptions(provider=cluster)
own = {"modelstack.dev/stack": pulumi.get_stack()}
namespace = kubernetes.core.v1.Namespace("models", metadata={"labels": own}, opts=opts)
metadata = {"namespace": namespace.metadata.name, "labels": own}
settings = kubernetes.core.v1.ConfigMap("settings", metadata=metadata, data={"key": "value"}, opts=opts)
pod = {"containers": [{"name": "pause", "image": os.environ["PAUSE"]}], "terminationGracePeriodSeconds": 1}
spec = {
    "replicas": 1,
    "minReadySeconds": 3,
    "selector": {"matchLabels": {"app": "server"}},
    "template": {"metadata": {"labels": {"app": "server"}}, "spec": pod},
}
server = kubernetes.apps.v1.Deployment(
    "server", metadata=metadata, spec=spec, opts=pulumi.ResourceOptions(provider=cluster, depends_on=[settings])
)
"""
NAMESPACE = "kubernetes:core/v1:Namespace"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


@dataclass(frozen=True)
class Led:
    """A stack whose API server is reached by a way that can be broken."""

    stack: Stack
    way: Way


@pytest.fixture
def led(project: Project, administrator: Kubectl, tmp_path: Path) -> Iterator[Led]:
    kubectl = (administrator.program, "kubectl")
    with way_to_cluster(kubectl, administrator.kubeconfig, tmp_path / "kubeconfig") as way:
        yield Led(new_stack(project, "led").having(CLUSTER=str(tmp_path / "kubeconfig")), way)


@pytest.fixture(scope="module")
def project(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.make(tmp_path_factory.mktemp("cluster") / "project", PROGRAM)
    own = {"CLUSTER": platform.connection.kubeconfig, "PAUSE": platform.connection.images["pause"]}
    return Project(made.folder, made.environment | own)


def new_stack(project: Project, name: str) -> Stack:
    """Return a stack of a name that no earlier run on the same platform had."""
    return project.stack(f"{name}-{secrets.token_hex(3)}")


def test_killed_after_the_first_create(project: Project) -> None:
    stack = new_stack(project, "first-create")
    running = stack.start("up")
    running.wait_for(lambda event: ended(event, "create", NAMESPACE))
    running.kill()
    recovered(stack)
    assert_up_settles(stack)
    assert_destroy_leaves_nothing(stack)


def test_killed_while_waiting_for_readiness(project: Project) -> None:
    stack = new_stack(project, "readiness")
    running = stack.start("up")
    running.wait_for(lambda event: begins(event, "create", DEPLOYMENT))
    time.sleep(1)  # it is created by then, and ready no sooner than 3 s later
    running.kill()
    report = recovered(stack)
    assert any("Deployment server: interrupted while creating" in one for one in report["operations"])
    assert_up_settles(stack)
    assert_destroy_leaves_nothing(stack)


def test_killed_while_destroying(project: Project) -> None:
    stack = new_stack(project, "destroying")
    assert_up_settles(stack)
    running = stack.start("destroy")
    running.wait_for(lambda event: begins(event, "delete", DEPLOYMENT))
    running.kill()
    recovered(stack)
    assert_destroy_leaves_nothing(stack)


def test_what_was_created_but_is_in_no_record_is_recorded(project: Project) -> None:
    stack = new_stack(project, "unrecorded")
    assert_up_settles(stack)
    engine = Engine(stack.folder, stack.name, stack.environment)
    state = engine.export()
    lost = next(one for one in state["deployment"]["resources"] if one["type"].endswith(":ConfigMap"))
    state["deployment"]["resources"] = [
        one
        | {"dependencies": [urn for urn in one.get("dependencies") or [] if urn != lost["urn"]]}
        | {"propertyDependencies": {}}
        for one in state["deployment"]["resources"]
        if one is not lost
    ]
    engine.replace_state(state)
    report = recovered(stack)
    assert report["adopted"] == [f"ConfigMap {lost['id']}"]
    assert_up_settles(stack)
    assert_destroy_leaves_nothing(stack)


def test_killed_when_an_object_is_made_and_its_answer_has_not_come(led: Led) -> None:
    led.way.lose_answer(2)  # after the namespace's
    running = led.stack.start("up", "--parallel", "1")
    assert led.way.lost.wait(60)
    running.kill()
    report = recovered(led.stack)
    assert [one for one in report["operations"] if "interrupted while creating; refresh looks for" in one]
    assert_up_settles(led.stack)
    assert_destroy_leaves_nothing(led.stack)


@pytest.mark.soak
def test_an_api_server_that_goes_away_within_up_costs_nothing_that_was_recorded(led: Led) -> None:
    running = led.stack.start("up")
    running.wait_for(lambda event: begins(event, "create", DEPLOYMENT))
    with led.way.broken():
        assert running.finish().code != 0
        assert {NAMESPACE, CONFIG_MAP} <= kinds(led.stack)
    recovered(led.stack)
    assert_up_settles(led.stack)
    assert_destroy_leaves_nothing(led.stack)


@pytest.mark.parametrize(
    ("command", "operation"),
    [pytest.param("refresh", "refresh", marks=pytest.mark.soak), ("destroy", "delete")],
)
def test_an_api_server_that_goes_away_costs_nothing_that_was_not_deleted(
    led: Led, command: str, operation: str
) -> None:
    assert_up_settles(led.stack)
    running = led.stack.start(command, "--parallel", "1")
    running.wait_for(lambda event: begins(event, operation, DEPLOYMENT))
    with led.way.broken():
        assert running.finish().code != 0
        assert {NAMESPACE, CONFIG_MAP, DEPLOYMENT} <= kinds(led.stack)
    recovered(led.stack)
    assert_up_settles(led.stack)
    assert_destroy_leaves_nothing(led.stack)


def kinds(stack: Stack) -> set[str]:
    """Return the types of what the state records."""
    return {one["type"] for one in stack.deployment()["resources"]}


def test_what_a_destroyed_stack_left_in_the_cluster_is_listed(project: Project, administrator: Kubectl) -> None:
    stack = new_stack(project, "left")
    assert_up_settles(stack)
    state = exported(stack)
    volume = f"left-{secrets.token_hex(3)}"
    namespace = next(one["id"] for one in state["deployment"]["resources"] if one["type"] == NAMESPACE)
    labels = {"modelstack.dev/stack": stack.name}
    claim = {"namespace": namespace, "name": "data"}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    retained = {"persistentVolumeReclaimPolicy": "Retain", "claimRef": claim}
    for document in (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": volume, "labels": labels}},
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": {**spec, **retained}},
    ):
        administrator.apply(document)
    assert stack.run("destroy").code == 0
    assert left(state, stack.name) == [f"ConfigMap default/{volume}", f"PersistentVolume {volume}"]
    administrator.run("delete", "configmap", volume, "--namespace=default")
    administrator.run("delete", "persistentvolume", volume)
    assert left(state, stack.name) == []
