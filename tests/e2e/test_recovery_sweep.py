"""An engine killed at every step of `up` and of `destroy`: after `ops recover` the next run ends with all in order.

At each step it is killed twice: as the step begins, and when the server has done what the step asks for and its answer
has not come.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import Platform
from tests.e2e.cluster import Cluster
from tests.ops.recovering import assert_up_settles, begins, recovered
from tests.provider.conftest import RECIPE
from tests.provider.houses import House, shared_house
from tests.provider.stacks import Running, Stack
from tests.waiting import until
from tests.ways import Way, way_to, way_to_cluster

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.soak, pytest.mark.timeout(600)]
__all__ = ["shared_house"]  # a fixture of the tests below

PROGRAM = """
import os
import pulumi
import pulumi_kubernetes as kubernetes
from provider.resources import ModelImage, ModelImageArgs, Password

places = dict(base=os.environ["BASE"], push=os.environ["REGISTRY"], repository="sweep/tiny")
image = ModelImage("tiny", ModelImageArgs(recipe="tiny/recipe.yaml", **places))
pulumi.export("image", image.image)
cluster = kubernetes.Provider("cluster", kubeconfig=os.environ["CLUSTER"])
opts = pulumi.ResourceOptions(provider=cluster)
own = {"modelstack.dev/stack": pulumi.get_stack()}
namespace = kubernetes.core.v1.Namespace("models", metadata={"labels": own}, opts=opts)
metadata = {"namespace": namespace.metadata.name, "labels": own}
settings = kubernetes.core.v1.ConfigMap("settings", metadata=metadata, data={"image": image.image}, opts=opts)
password = kubernetes.core.v1.Secret(
    "password", metadata=metadata, string_data={"value": Password("password").value}, opts=opts
)
pod = {"containers": [{"name": "pause", "image": os.environ["PAUSE"]}], "terminationGracePeriodSeconds": 1}
spec = {
    "replicas": 1,
    "selector": {"matchLabels": {"app": "server"}},
    "template": {"metadata": {"labels": {"app": "server"}}, "spec": pod},
}
server = kubernetes.apps.v1.Deployment(
    "server",
    metadata=metadata,
    spec=spec,
    opts=pulumi.ResourceOptions(provider=cluster, depends_on=[settings, password]),
)
"""
KINDS = ("namespaces", "configmaps", "secrets", "deployments")
STEPS = len(KINDS) + 5  # of the stack itself, two providers, the image and the password


@dataclass(frozen=True)
class Sweep:
    """A small stack, the ways to its API server and registry, and what looks at both from outside."""

    stack: Stack
    house: House
    cluster: Cluster
    ways: dict[str, Way]

    def objects(self) -> list[str]:
        """Return the names of the stack's objects in the cluster."""
        label = f"modelstack.dev/stack={self.stack.name}"
        found = [one for kind in KINDS for one in self.cluster.get(kind, "-A", "-l", label)["items"]]
        owned = [one["metadata"] for one in found if not one["metadata"].get("ownerReferences")]
        return sorted("/".join(filter(None, (one.get("namespace"), one["name"]))) for one in owned)

    def recorded(self) -> list[str]:
        """Return the names of the objects in the state."""
        resources = self.stack.deployment().get("resources", [])
        return sorted(one["id"] for one in resources if one["type"].startswith("kubernetes:"))

    def held(self) -> list[str]:
        """Return the tags by which the stack holds images."""
        return [tag for tag in self.house.images("sweep/tiny").tags() if tag.startswith("stack-")]

    def both(self) -> list[tuple[str, Callable[[], None]]]:
        """Return `up` and `destroy`, with what holds after each."""
        return [("up", self.assert_whole), ("destroy", self.assert_gone)]

    def assert_whole(self) -> None:
        """Bring the stack up: cluster and registry then hold what the state does, once."""
        assert_up_settles(self.stack)
        assert self.objects() == self.recorded()
        assert len(self.recorded()) == len(KINDS)
        assert len(self.held()) == 1

    def assert_gone(self) -> None:
        """Destroy the stack: nothing of it is then left."""
        done = self.stack.run("destroy")
        assert done.code == 0, done.said
        assert (self.stack.recorded(), self.objects(), self.held()) == ([], [], [])


@pytest.fixture(scope="module")
def sweep(
    shared_house: House, platform: Platform, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sweep]:
    """The stack, which was up once: its image is built, and held by another's tag."""
    own = tmp_path_factory.mktemp("way") / "kubeconfig"
    (shared_house.project.folder / "__main__.py").write_text(PROGRAM)
    shared_house.recipe.write_text(RECIPE)
    with way_to_cluster(cluster.program, cluster.kubeconfig, own) as api, way_to(shared_house.host) as registry:
        settings = {"CLUSTER": str(own), "PAUSE": platform.connection.images["pause"]}
        places = {"BASE": shared_house.base, "REGISTRY": registry.host}
        stack = shared_house.project.stack(f"sweep-{secrets.token_hex(3)}", **settings, **places)
        made = Sweep(stack, shared_house, cluster, {"api": api, "registry": registry})
        made.assert_whole()
        images = shared_house.images("sweep/tiny")
        images.tag(stack.outputs()["image"].rpartition("@")[2], "held-by-another")
        made.assert_gone()
        yield made


@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_killed_as_a_step_begins(sweep: Sweep, number: int) -> None:
    for command, holds in sweep.both():
        running = sweep.stack.start(command, "--parallel", "1")
        until_begun(running, command, number)
        running.kill()
        recovered(sweep.stack)
        holds()


@pytest.mark.parametrize(("way", "number"), [*(("api", n) for n in range(1, len(KINDS) + 1)), ("registry", 1)])
def test_killed_when_a_change_is_made_and_its_answer_has_not_come(sweep: Sweep, way: str, number: int) -> None:
    for command, holds in sweep.both():
        sweep.ways[way].lose_answer(number)
        running = sweep.stack.start(command, "--parallel", "1")
        until(sweep.ways[way].lost.is_set, "an answer is lost")
        running.kill()
        sweep.ways[way].keep_answers()
        recovered(sweep.stack)
        holds()


def test_no_step_was_left_out(sweep: Sweep) -> None:
    for command, _ in sweep.both():
        sweep.ways["registry"].count = 0
        running = sweep.stack.start(command, "--parallel", "1")
        assert running.finish().code == 0
        assert begun(running, command) == STEPS
        assert sweep.ways["registry"].count == 1


def until_begun(running: Running, command: str, number: int) -> None:
    """Wait until so many steps have begun; fails where the command ends before."""
    while begun(running, command) < number:
        assert running.process.poll() is None or begun(running, command) >= number, running.finish().said


def begun(running: Running, command: str) -> int:
    """Return how many steps of a command have begun, by the engine's event log."""
    operation = {"up": "create", "destroy": "delete"}[command]
    return sum(begins(event, operation) for event in running.events())
