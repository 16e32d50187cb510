"""A model that is scaled by CPU on real pods: up under load, left alone by `up`, and down again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.e2e.load import steady_load
from tests.load import Load
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.soak, pytest.mark.timeout(1500)]

STACK = "scaling"
NAMESPACE = f"modelstack-{STACK}"
# Of 200m: what OFTEN uses of one pod is more, what the probes alone use is less than half.
SETTINGS = """config:
  modelstack:models:
    digits:
      recipe: models/digits/recipe.yaml
      resources: {cpuRequest: 200m}
      scale: {min: 1, max: 2, cpu: 25, downSeconds: 15}
  modelstack:gateway: {enabled: true}
"""
# CPU is read every 15 s and told of a whole interval; from 2 pods to 1 goes at most one pod a minute.
SECONDS = 300.0
OFTEN, SELDOM = 180.0, 8.0  # requests a second


@pytest.fixture(scope="module")
def scaled(checkout: Checkout) -> Iterator[Checkout]:
    """The clone with a stack of its own, whose model is scaled."""
    (checkout.folder / f"Pulumi.{STACK}.yaml").write_text(SETTINGS)
    checkout.must("up", STACK)
    yield checkout
    checkout.must("destroy", STACK)


def replicas(cluster: Cluster) -> tuple[int, int]:
    """How many pods are asked for, and how many are ready."""
    found = cluster.get("deployment", "digits", "--namespace", NAMESPACE)
    return found["spec"]["replicas"], found["status"].get("readyReplicas", 0)


def goes_up_and_stays_through_an_update(scaled: Checkout, cluster: Cluster) -> None:
    until(lambda: replicas(cluster) == (2, 2), "a second pod is ready", SECONDS)
    with scaled.edited(f"Pulumi.{STACK}.yaml", "cpuRequest: 200m", "cpuRequest: 201m"):
        scaled.must("up", STACK)
        assert replicas(cluster)[0] == 2
        scaled.must("preview", STACK, ARGS="--expect-no-changes")


def goes_down(load: Load, cluster: Cluster) -> None:
    load.rate = SELDOM
    until(lambda: replicas(cluster) == (1, 1), "one pod is left", SECONDS)


def test_pods_come_under_load_and_go_after_it_and_no_request_is_lost(scaled: Checkout, cluster: Cluster) -> None:
    assert replicas(cluster) == (1, 1)
    with steady_load(scaled.outputs(STACK)["endpoint"]["digits"], rate=OFTEN) as load:
        goes_up_and_stays_through_an_update(scaled, cluster)
        goes_down(load, cluster)
    assert not load.failed, load.failed
    scaled.must("up", STACK)
    scaled.must("preview", STACK, ARGS="--expect-no-changes")


def autoscalers(cluster: Cluster) -> list[str]:
    """Return the names of what scales pods in the stack's namespace."""
    return [one["metadata"]["name"] for one in cluster.items("horizontalpodautoscalers", NAMESPACE)]


def test_what_scales_by_series_takes_the_place_of_what_scales_by_cpu_and_goes_again(
    scaled: Checkout, cluster: Cluster
) -> None:
    assert autoscalers(cluster) == ["digits"]
    with scaled.edited(f"Pulumi.{STACK}.yaml", "cpu: 25, ", "waiting: 8, "):
        scaled.must("up", STACK)
        until(lambda: autoscalers(cluster) == ["keda-hpa-digits"], "KEDA's autoscaler is the only one")
    scaled.must("up", STACK)
    until(lambda: autoscalers(cluster) == ["digits"], "that of the stack is the only one")
