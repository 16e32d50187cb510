"""A model that is scaled by CPU on real pods: up under load, left alone by `up`, and down again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.e2e.load import BODY, INFER, steady_load
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
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
SERIES = (
    "scale: {min: 1, max: 2, cpu: 25, downSeconds: 15}",
    "scale: {min: 0, max: 2, waiting: 8}\n  modelstack:keda: {installed: true}",
)
SPEC = {
    *("scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod"),
    *("advanced", "triggers"),
}


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


def test_a_model_without_a_pod_is_left_so_by_up_and_the_series_that_wakes_it_tells_of_requests(
    scaled: Checkout, cluster: Cluster
) -> None:
    cluster.must("apply", "--server-side", "--filename", str(definition()))
    with scaled.edited(f"Pulumi.{STACK}.yaml", *SERIES):
        scaled.must("up", STACK)
        assert cluster.items("horizontalpodautoscalers", NAMESPACE) == []
        spec = cluster.get("scaledobjects.keda.sh", "digits", "--namespace", NAMESPACE)["spec"]
        # What the API server does not know of a kind, it drops.
        assert set(spec) == SPEC
        waiting, wakes = (one["metadata"] for one in spec["triggers"])
        assert waiting["query"] == 'sum(modelstack_waiting{model="digits"})'
        cluster.must("scale", "deployment", "digits", "--replicas=0", "--namespace", NAMESPACE)
        until(lambda: replicas(cluster) == (0, 0), "no pod is left", SECONDS)
        with scaled.edited(f"Pulumi.{STACK}.yaml", "cpuRequest: 200m", "cpuRequest: 202m"):
            scaled.must("up", STACK)
        assert replicas(cluster) == (0, 0)
        answer = urllib3.request("POST", f"{scaled.outputs(STACK)['endpoint']['digits']}{INFER}", body=BODY)
        assert answer.status == 503
        until(lambda: measured(scaled, wakes["query"]) > 0, "the gateway's series tells of the request")
        cluster.must("scale", "deployment", "digits", "--replicas=1", "--namespace", NAMESPACE)
    scaled.must("up", STACK)
    cluster.must("delete", "--ignore-not-found", "--filename", str(definition()))


def definition() -> Path:
    """The kind ScaledObject, as KEDA's module has it."""
    told = subprocess.run(["go", "mod", "download", "-json", KEDA], capture_output=True, check=True).stdout
    return Path(json.loads(told)["Dir"], "config/crd/bases/keda.sh_scaledobjects.yaml")


def measured(checkout: Checkout, query: str) -> float:
    """What the stack's Prometheus answers; 0 where it has nothing."""
    url = f"{checkout.outputs(STACK)['prometheus']}/api/v1/query"
    found = urllib3.request("GET", url, fields={"query": query}).json()["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0
