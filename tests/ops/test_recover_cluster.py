"""A stack with objects in a real cluster whose engine is killed: after `ops recover` state and cluster agree."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import pytest

from ops import unrecorded
from ops.engine import Engine
from tests.conftest import Platform
from tests.provider.stacks import Project, Stack

pytestmark = pytest.mark.e2e

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
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
Event = dict[str, Any]


@pytest.fixture(scope="module")
def project(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.make(tmp_path_factory.mktemp("cluster") / "project", PROGRAM)
    own = {"CLUSTER": platform.connection.kubeconfig, "PAUSE": platform.connection.images["pause"]}
    return Project(made.folder, made.environment | own)


def new_stack(project: Project, name: str) -> Stack:
    """Return a stack of a name that no earlier run on the same platform had."""
    return project.stack(f"{name}-{secrets.token_hex(3)}")


def begins(event: Event, operation: str, kind: str) -> bool:
    step = event.get("resourcePreEvent", {}).get("metadata", {})
    return bool(step.get("op") == operation and step.get("type") == kind)


def ended(event: Event, operation: str, kind: str) -> bool:
    step = event.get("resOutputsEvent", {}).get("metadata", {})
    return bool(step.get("op") == operation and step.get("type") == kind)


def recovered(stack: Stack) -> dict[str, Any]:
    """Recover a stack and return the report."""
    done = stack.recover()
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["pending_left"] == 0
    assert report["not_looked_for"] == ""
    return report


def assert_up_settles(stack: Stack) -> None:
    """Bring the stack up; state and cluster then hold the same."""
    done = stack.run("up")
    assert done.code == 0, done.said
    done = stack.run("preview", "--refresh", "--expect-no-changes")
    assert done.code == 0, done.said
    state = Engine(stack.folder, stack.name, stack.environment).export(secrets=True)
    assert unrecorded.find(state, stack.name) == []
    assert not state["deployment"].get("pending_operations")


def assert_destroy_leaves_nothing(stack: Stack) -> None:
    state = Engine(stack.folder, stack.name, stack.environment).export(secrets=True)
    done = stack.run("destroy")
    assert done.code == 0, done.said
    assert stack.recorded() == []
    state["deployment"]["resources"] = [one for one in state["deployment"]["resources"] if "providers" in one["type"]]
    assert unrecorded.find(state, stack.name) == []


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
