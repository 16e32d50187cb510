"""A stack with an object that waits for a finalizer, and the controller that takes it off: both go, in this order."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Platform
from tests.ops.recovering import assert_up_settles
from tests.provider.clusters import Kubectl
from tests.provider.conftest import administrator
from tests.provider.stacks import Project, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.soak]
__all__ = ["administrator"]  # a fixture of the tests below

PROGRAM = """
import os
import pulumi
import pulumi_kubernetes as kubernetes

cluster = kubernetes.Provider("cluster", kubeconfig=os.environ["CLUSTER"])
opts = pulumi.ResourceOptions(provider=cluster)
own = {"modelstack.dev/stack": pulumi.get_stack()}
group = os.environ["GROUP"]
names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
kind = kubernetes.apiextensions.v1.CustomResourceDefinition(
    "widgets",
    metadata={"name": f"widgets.{group}", "labels": own},
    spec={
        "group": group,
        "names": names,
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    },
    opts=opts,
)
namespace = kubernetes.core.v1.Namespace("teardown", metadata={"labels": own}, opts=opts)
metadata = {"namespace": namespace.metadata.name, "labels": own}
pod = {"containers": [{"name": "pause", "image": os.environ["PAUSE"]}], "terminationGracePeriodSeconds": 1}
controller = kubernetes.apps.v1.Deployment(
    "controller",
    metadata={**metadata, "name": "controller"},
    spec={
        "replicas": 1,
        "selector": {"matchLabels": {"app": "controller"}},
        "template": {"metadata": {"labels": {"app": "controller"}}, "spec": pod},
    },
    opts=pulumi.ResourceOptions(provider=cluster, depends_on=[kind]),
)
timeout = {"pulumi.com/timeoutSeconds": "60"}
kubernetes.apiextensions.CustomResource(
    "widget",
    api_version=f"{group}/v1",
    kind="Widget",
    metadata={**metadata, "name": "widget", "finalizers": [f"{group}/held"], "annotations": timeout},
    opts=pulumi.ResourceOptions(provider=cluster, depends_on=[controller]),
)
pulumi.export("namespace", namespace.metadata.name)
"""


@pytest.fixture
def stack(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    made = Project.make(tmp_path_factory.mktemp("teardown") / "project", PROGRAM)
    mark = secrets.token_hex(3)
    own = {"CLUSTER": platform.connection.kubeconfig, "PAUSE": platform.connection.images["pause"]}
    return made.stack(f"teardown-{mark}", **own, GROUP=f"x{mark}.modelstack.dev")


@contextmanager
def controlled(kubectl: Kubectl, group: str, namespace: str) -> Iterator[None]:
    """Take finalizers off widgets that are to go, as a controller does: for as long as its Deployment is there."""
    ended = threading.Event()

    def work() -> None:
        place = ("--namespace", namespace, "--ignore-not-found", "--output=json")
        while not ended.wait(0.2):
            widget = kubectl.run("get", f"widgets.{group}", "widget", *place, check=False)
            if not widget or not json.loads(widget)["metadata"].get("deletionTimestamp"):
                continue
            if kubectl.run("get", "deployment", "controller", *place, check=False):
                patch = '{"metadata": {"finalizers": null}}'
                chosen = (f"widgets.{group}", "widget", "--namespace", namespace)
                kubectl.run("patch", *chosen, "--type=merge", f"--patch={patch}", check=False)

    working = threading.Thread(target=work)
    working.start()
    try:
        yield
    finally:
        ended.set()
        working.join()


def test_what_waits_for_a_finalizer_goes_before_the_controller_that_takes_it_off(
    stack: Stack, administrator: Kubectl
) -> None:
    assert_up_settles(stack)
    group, namespace = stack.environment["GROUP"], stack.outputs()["namespace"]
    with controlled(administrator, group, namespace):
        done = stack.run("destroy")
    assert done.code == 0, done.said
    assert stack.recorded() == []
    kept = ("--ignore-not-found", "--output=name")
    assert administrator.run("get", "namespace", namespace, *kept) == ""
    assert administrator.run("get", "customresourcedefinition", f"widgets.{group}", *kept) == ""


def test_a_deletion_that_a_finalizer_holds_back_fails_and_goes_on_once_it_is_off(
    stack: Stack, administrator: Kubectl
) -> None:
    brief = stack.folder / "__main__.py"
    brief.write_text(PROGRAM.replace('timeoutSeconds": "60"', 'timeoutSeconds": "5"'))
    assert_up_settles(stack)
    group, namespace = stack.environment["GROUP"], stack.outputs()["namespace"]
    done = stack.run("destroy")
    assert done.code != 0
    assert "'widget' timed out waiting to be deleted" in done.said
    assert {"Widget", "Deployment", "Namespace"} <= {
        urn.split("::")[2].rpartition(":")[2] for urn, _ in stack.recorded()
    }
    with controlled(administrator, group, namespace):
        done = stack.run("destroy")
    assert done.code == 0, done.said
    assert stack.recorded() == []
