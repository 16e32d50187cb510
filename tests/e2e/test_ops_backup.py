"""The embedded platform lost, with the state, images and objects of a stack: a backup brings all of them back."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import build
from local.instance import locate
from model_build.oci.referrers import referrers
from model_build.oci.registry import Registry
from tests.conftest import Platform, completed, own_environment, run_local, with_free_ports
from tests.e2e.cluster import Cluster
from tests.provider.conftest import RECIPE
from tests.provider.stacks import ROOT, Project, Stack
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(900)]

REPOSITORY = "modelstack/tiny"
PROGRAM = """
import os
import pulumi
import pulumi_kubernetes as kubernetes
from local.connection import read
from provider.resources import ModelImage, ModelImageArgs, Password
from pathlib import Path

platform = read(Path(os.environ["MODELSTACK_DATA"], os.environ["MODELSTACK_INSTANCE"], "connection.json"))
places = dict(base=platform.images["base"], push=platform.registry.push, repository="modelstack/tiny")
image = ModelImage("tiny", ModelImageArgs(recipe="tiny/recipe.yaml", **places))
password = Password("password")
cluster = kubernetes.Provider("cluster", kubeconfig=platform.kubeconfig)
opts = pulumi.ResourceOptions(provider=cluster)
own = {"modelstack.dev/stack": pulumi.get_stack()}
namespace = kubernetes.core.v1.Namespace("models", metadata={"labels": own}, opts=opts)
metadata = {"namespace": namespace.metadata.name, "labels": own}
kubernetes.core.v1.Secret("password", metadata=metadata, string_data={"value": password.value}, opts=opts)
probe = {"httpGet": {"path": "/v2/health/ready", "port": 8080}, "periodSeconds": 1}
server = {"name": "server", "image": image.image, "readinessProbe": probe}
pod = {"containers": [server], "terminationGracePeriodSeconds": 1}
template = {"metadata": {"labels": {"app": "tiny"}}, "spec": pod}
spec = {"replicas": 1, "selector": {"matchLabels": {"app": "tiny"}}, "template": template}
kubernetes.apps.v1.Deployment("tiny", metadata=metadata, spec=spec, opts=opts)
pulumi.export("image", image.image)
pulumi.export("namespace", namespace.metadata.name)
pulumi.export("password", password.value)
"""


@dataclass(frozen=True)
class Held:
    """What there is of a stack outside its state."""

    outputs: dict[str, Any]
    tags: dict[str, str]
    attached: frozenset[str]
    objects: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Restored:
    """A stack that was backed up, lost and restored."""

    stack: Stack
    backup: Path
    before: Held
    after: Held
    told: str


@dataclass(frozen=True)
class Lost:
    """An instance of this file's own, and the stack on it."""

    stack: Stack
    cluster: Cluster

    @property
    def host(self) -> str:
        """The instance's registry."""
        return locate(None, self.stack.environment).registry

    def held(self) -> Held:
        """Look at all of it; waits until the pod serves."""
        query = self.stack.command("stack", "output", "--json", "--show-secrets", "--stack", self.stack.name)
        done = subprocess.run(
            query, cwd=self.stack.folder, env=self.stack.environment, stdout=subprocess.PIPE, check=True
        )
        outputs = json.loads(done.stdout)
        registry = Registry(self.host)
        named = {tag: registry.head(REPOSITORY, tag) for tag in registry.tags(REPOSITORY)}
        tags = {tag: found.digest for tag, found in named.items() if found}
        digest = outputs["image"].rpartition("@")[2]
        attached = frozenset(one.digest for one in referrers(registry, REPOSITORY, digest))
        until(lambda: self.serving(outputs) == [outputs["image"]], "the pod serves", 240)
        kinds = ("deployments", "secrets", "namespaces")
        found = [
            one["metadata"]
            for kind in kinds
            for one in self.cluster.get(kind, "-A", "-l", "modelstack.dev/stack")["items"]
        ]
        return Held(outputs, tags, attached, frozenset((one["name"], one["uid"]) for one in found))

    def serving(self, outputs: dict[str, Any]) -> list[str]:
        """Return the images that ready pods run."""
        pods = self.cluster.items("pods", outputs["namespace"])
        told = [one for pod in pods for one in pod["status"].get("containerStatuses") or ()]
        return [one["imageID"] for one in told if one["ready"]]


@pytest.fixture(scope="module")
def environment(platform: Platform) -> Iterator[dict[str, str]]:
    # Beside the shared platform, whose lock keeps other test runs away from both.
    own = own_environment("backup", Path(platform.environment["MODELSTACK_DATA"]))
    run_local(own, "reset")
    own = with_free_ports(own)
    try:
        run_local(own, "up")
        yield completed(own)
    finally:
        run_local(own, "reset")


@pytest.fixture(scope="module")
def lost(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Lost:
    """The stack, up and serving."""
    folder = tmp_path_factory.mktemp("backup") / "project"
    shutil.copytree(ROOT / "models/digits", folder / "tiny", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tiny/recipe.yaml").write_text(RECIPE)
    made = Project.make(folder, PROGRAM)
    own = {
        name: value
        for name, value in environment.items()
        if name.startswith(("MODELSTACK_", "PULUMI_")) or name == "PATH"
    }
    without = {name: value for name, value in made.environment.items() if name != "PULUMI_CONFIG_PASSPHRASE"}
    stack = Stack(folder, "kept", {**without, **own, "PULUMI_DEBUG_COMMANDS": "true"})
    done = stack.run("up")
    assert done.code == 0, done.said
    program = build.binaries(build.KUBERNETES, Path(own["MODELSTACK_CACHE"]), build.go_version()) / "kube"
    return Lost(stack, Cluster((str(program), "kubectl"), str(locate(None, own).kubeconfig)))


@pytest.fixture(scope="module")
def restored(lost: Lost) -> Restored:
    stack, folder = lost.stack, lost.stack.folder / "kept-backup"
    before = lost.held()
    told = ops(stack, "backup", stack.name, "--output", str(folder))
    run_local(stack.environment, "reset")
    ops(stack, "restore", str(folder), "--yes")
    return Restored(stack, folder, before, lost.held(), told)


def ops(stack: Stack, *arguments: str) -> str:
    done = stack.ops(*arguments)
    assert done.returncode == 0, f"ops {shlex.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_same_images_serve_with_all_that_is_attached(restored: Restored) -> None:
    assert restored.after.tags == restored.before.tags
    assert restored.after.attached == restored.before.attached
    assert len(restored.after.attached) >= 1


def test_the_same_objects_are_in_the_cluster(restored: Restored) -> None:
    assert restored.after.objects == restored.before.objects
    assert len(restored.after.objects) == 3


def test_secrets_are_read_with_the_passphrase_that_came_back(restored: Restored) -> None:
    assert restored.after.outputs == restored.before.outputs
    assert restored.after.outputs["password"] != "[secret]"


def test_nothing_is_left_to_change(restored: Restored) -> None:
    done = restored.stack.run("preview", "--refresh", "--expect-no-changes")
    assert done.code == 0, done.said


def test_that_the_passphrase_is_in_the_backup_is_told(restored: Restored) -> None:
    assert "WARNING: " in restored.told
    assert "holds the passphrase of the states" in restored.told
    assert (restored.backup / "platform/passphrase").stat().st_mode & 0o777 == 0o600


def test_a_platform_with_data_keeps_its_cluster(restored: Restored, lost: Lost) -> None:
    told = ops(restored.stack, "restore", str(restored.backup), "--yes")
    assert "cluster: left as it is: platform 'backup' has data of its own" in told
    assert lost.held() == restored.after


def test_it_all_goes_with_the_stack(restored: Restored, lost: Lost) -> None:
    done = restored.stack.run("destroy")
    assert done.code == 0, done.said
    assert Registry(lost.host).tags(REPOSITORY) == []
