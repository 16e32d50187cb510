"""A model that is scaled by series on real pods, by a real KEDA: from none to one and two, and back to none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import urllib3

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.e2e.load import BODY, INFER, LARGE, clients_in_a_loop, steady_load
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.soak, pytest.mark.timeout(1800)]

STACK = "sleeping"
NAMESPACE = f"modelstack-{STACK}"
IN_NAMESPACE = ("--namespace", NAMESPACE)
# 40 requests a second are more than one pod is to have, and none of them waits for long.
SETTINGS = """config:
  modelstack:models:
    digits:
      recipe: models/digits/recipe.yaml
      resources: {cpuRequest: 200m}
      scale: {min: 0, max: 2, waiting: 8, requests: 10, downSeconds: 15}
  modelstack:gateway: {enabled: true}
"""
# The mean of one minute and then 15 s of quiet; each is read every 5 s.
SECONDS = 300.0
SPEC = {
    *("scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod"),
    *("initialCooldownPeriod", "advanced", "triggers"),
}


@pytest.fixture(scope="module")
def sleeping(checkout: Checkout) -> Iterator[Checkout]:
    """The clone with a stack of its own, whose only model may have no pod."""
    (checkout.folder / f"Pulumi.{STACK}.yaml").write_text(SETTINGS)
    checkout.must("up", STACK)
    yield checkout
    checkout.must("destroy", STACK)


def replicas(cluster: Cluster) -> tuple[int, int]:
    """How many pods are asked for, and how many are ready."""
    found = cluster.get("deployment", "digits", *IN_NAMESPACE)
    return found["spec"]["replicas"], found["status"].get("readyReplicas", 0)


def sleeps(cluster: Cluster) -> None:
    until(lambda: replicas(cluster) == (0, 0), "no pod is left", SECONDS)


def asked(checkout: Checkout) -> urllib3.BaseHTTPResponse:
    """Send one request, once."""
    url = f"{checkout.outputs(STACK)['endpoint']['digits']}{INFER}"
    return urllib3.request("POST", url, body=BODY, retries=False, timeout=90)


def conditions(cluster: Cluster) -> dict[str, str]:
    found = cluster.get("scaledobjects.keda.sh", "digits", *IN_NAMESPACE)["status"]["conditions"]
    return {one["type"]: one["status"] for one in found}


def measures(cluster: Cluster) -> set[str]:
    """Return the series of which the autoscaler that KEDA made knows a value."""
    (found,) = cluster.items("horizontalpodautoscalers", NAMESPACE)
    return {one["external"]["metric"]["name"] for one in found["status"].get("currentMetrics") or []}


def test_keda_takes_the_scaled_object_as_it_is(sleeping: Checkout, cluster: Cluster) -> None:
    # What the API server does not know of a kind, it drops.
    assert set(cluster.get("scaledobjects.keda.sh", "digits", *IN_NAMESPACE)["spec"]) == SPEC
    until(lambda: conditions(cluster).get("Ready") == "True", "KEDA reads all series")


def test_a_model_that_nobody_asks_has_no_pod_and_its_gateway_starts_anew(sleeping: Checkout, cluster: Cluster) -> None:
    sleeps(cluster)
    cluster.must("rollout", "restart", "deployment/gateway", *IN_NAMESPACE)
    cluster.must("rollout", "status", "deployment/gateway", "--timeout=120s", *IN_NAMESPACE)
    assert replicas(cluster) == (0, 0)


def test_an_update_wakes_nobody(sleeping: Checkout, cluster: Cluster) -> None:
    sleeps(cluster)
    with sleeping.edited(f"Pulumi.{STACK}.yaml", "cpuRequest: 200m", "cpuRequest: 201m"):
        sleeping.must("up", STACK)
        assert replicas(cluster) == (0, 0)
    sleeping.must("up", STACK)
    sleeping.must("preview", STACK, ARGS="--expect-no-changes")


def test_the_request_that_wakes_a_model_is_answered_by_its_first_pod(sleeping: Checkout, cluster: Cluster) -> None:
    sleeps(cluster)
    began = time.monotonic()
    answer = asked(sleeping)
    assert answer.status == 200, answer.data
    print(f"from no pod to an answer: {time.monotonic() - began:.1f} s")
    assert replicas(cluster)[0] == 1
    # The gateway may ask the pod before the cluster has counted it.
    until(lambda: replicas(cluster) == (1, 1), "the one pod is counted")


def test_pods_come_under_load_and_all_go_after_it_and_no_request_is_lost(sleeping: Checkout, cluster: Cluster) -> None:
    assert asked(sleeping).status == 200
    with steady_load(sleeping.outputs(STACK)["endpoint"]["digits"]) as load:
        until(lambda: replicas(cluster) == (2, 2), "a second pod is ready", SECONDS)
        until(lambda: len(measures(cluster)) == 3, "all series are measured")
    assert not load.failed, load.failed
    print(f"answered under load: {load.answers.total()}")
    until(lambda: replicas(cluster)[0] == 0, "the last pod is asked to end", SECONDS)
    # It still does when the next request comes.
    assert asked(sleeping).status == 200


def test_pods_come_by_what_waits_too(sleeping: Checkout, cluster: Cluster) -> None:
    with sleeping.edited(f"Pulumi.{STACK}.yaml", "waiting: 8, requests: 10", "waiting: 1"):
        sleeping.must("up", STACK)
        assert asked(sleeping).status == 200
        assert replicas(cluster)[0] == 1
        # One is run and others wait, as one look in some tells: a pod of a fast model has none for half of the time.
        with clients_in_a_loop(sleeping.outputs(STACK)["endpoint"]["digits"], 24, LARGE) as answers:
            until(lambda: replicas(cluster) == (2, 2), "a second pod is ready", SECONDS)
        assert set(answers) == {"200"}, answers
        print(f"answered while others waited: {answers.total()}")
    sleeping.must("up", STACK)
    sleeps(cluster)
