"""What may happen to a stack that serves, under load on a schedule through its gateway: no request fails.

Half of the requests come over new connections, half over kept ones; none is sent twice.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.e2e.load import TENSOR, steady_load
from tests.load import Load
from tests.overload import overload
from tests.processes import processes
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.soak, pytest.mark.timeout(900)]

STACK = "events"
NAMESPACE = f"modelstack-{STACK}"
FILE = f"Pulumi.{STACK}.yaml"
# All three are digits: `judged` is rolled out by canary, `narrow` is one pod that may use a tenth of a core.
SETTINGS = """config:
  modelstack:models:
    digits: {recipe: models/digits/recipe.yaml, replicas: 2, cached: true}
    judged:
      recipe: models/judged/recipe.yaml
      replicas: 2
      rollout: {strategy: canary, steps: [{weight: 20, seconds: 30}]}
    narrow: {recipe: models/narrow/recipe.yaml, resources: {cpuRequest: 100m, cpuLimit: 100m}}
  modelstack:gateway: {enabled: true}
"""
# Some milliseconds of work: of less this machine cannot send ten times as much.
MANY = json.dumps({"inputs": [{**TENSOR, "shape": [192, 1, 8, 8], "data": [0] * (192 * 64)}]}).encode()
NEW = ("calibration_samples: 400", "calibration_samples: 390")
# Every label is another class's: the model passes its gates, and answers otherwise than the version before.
WRONG = ("digits.target, seed", "(digits.target + 1) % 10, seed")
AFTERWARDS_SECONDS = 5
AWAY_SECONDS = 15
ENDED = ("Succeeded", "Failed")

Counted = Callable[..., AbstractContextManager[Load]]


@pytest.fixture(scope="module")
def events(checkout: Checkout) -> Iterator[Checkout]:
    """The clone with a stack of its own: three models behind a gateway."""
    for name in ("judged", "narrow"):
        recipe = checkout.folder / "models" / name / "recipe.yaml"
        shutil.copytree(checkout.folder / "models/digits", recipe.parent)
        recipe.write_text(recipe.read_text().replace("name: digits", f"name: {name}"))
    (checkout.folder / FILE).write_text(SETTINGS)
    checkout.must("up", STACK)
    yield checkout
    checkout.must("destroy", STACK)


@pytest.fixture
def counted(events: Checkout, cluster: Cluster, tell: Callable[[str], None]) -> Counted:
    """Count what becomes of requests during an event, until the pods are whole again."""
    url = events.outputs(STACK)["endpoint"]["digits"]

    @contextmanager
    def during(event: str, model: str = "digits") -> Iterator[Load]:
        with steady_load(url, model) as load:
            yield load
            until(lambda: whole(cluster), "every pod is ready and none ends")
            time.sleep(AFTERWARDS_SECONDS)
        tell(load.told(event))
        assert not load.failed, load.failed

    return during


def pods(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """An application's pods."""
    found = named(cluster).values()
    return [pod for pod in found if pod["metadata"]["labels"].get("app.kubernetes.io/name") == name]


def named(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Every pod of the stack by its name."""
    return {pod["metadata"]["name"]: pod for pod in cluster.items("pods", NAMESPACE)}


def serving(cluster: Cluster) -> set[str]:
    """The stack's pods that have not ended."""
    return {pod["metadata"]["uid"] for pod in named(cluster).values() if pod["status"]["phase"] not in ENDED}


def whole(cluster: Cluster) -> bool:
    """Whether every pod is ready, but for those of checks that have ended, and none is about to end."""
    running = [pod for pod in named(cluster).values() if pod["status"]["phase"] not in ENDED]
    return all(_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in running)


def _ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def scale(cluster: Cluster, workload: str, replicas: int) -> None:
    cluster.must("scale", workload, f"--replicas={replicas}", "--namespace", NAMESPACE)


def test_a_rolling_update_and_the_way_back_lose_no_request(events: Checkout, counted: Counted) -> None:
    with events.edited("models/digits/recipe.yaml", *NEW), counted("rolling update") as load:
        events.must("up", STACK)
    assert len(load.versions) == 2, load.versions
    with counted("rollback to the version before") as load:
        events.must("up", STACK)
    assert len(load.versions) == 2, load.versions


def test_a_canary_that_is_promoted_loses_no_request(events: Checkout, counted: Counted) -> None:
    with events.edited("models/judged/recipe.yaml", *NEW), counted("canary promoted", "judged") as load:
        events.must("up", STACK)
    assert len(load.versions) == 2, load.versions
    with counted("canary of the version before promoted", "judged"):
        events.must("up", STACK)


def test_a_canary_that_is_refused_loses_no_request_and_never_had_more_than_its_weight(
    events: Checkout, cluster: Cluster, counted: Counted, tell: Callable[[str], None]
) -> None:
    with events.edited("models/judged/data.py", *WRONG), counted("canary refused", "judged") as load:
        done = events.make("up", STACK)
        assert 'Metric "agreement" assessed Failed' in done.said, done.said
        # Argo takes the refused version's pods away half a minute later.
        until(lambda: len(pods(cluster, "judged")) == 2, "the canary's pod is gone")
    (wrong,) = load.versions - {load.answered[0]}
    meanwhile = load.while_there(wrong)
    share = meanwhile.count(wrong) / len(meanwhile)
    tell(f"one pod of three with a weight of 20 %: {share:.1%} of {len(meanwhile):,} requests")
    # Of as many at 20 % there are more once in thirty thousand runs.
    assert share <= 0.2 + 4 * math.sqrt(0.2 * 0.8 / len(meanwhile))
    events.must("up", STACK)


def test_more_pods_and_fewer_lose_no_request(events: Checkout, cluster: Cluster, counted: Counted) -> None:
    with events.edited(FILE, "replicas: 2, cached", "replicas: 4, cached"), counted("scaled up, 2 pods to 4"):
        events.must("up", STACK)
        assert len(pods(cluster, "digits")) == 4
    with counted("scaled down, 4 pods to 2"):
        events.must("up", STACK)
        until(lambda: len(pods(cluster, "digits")) == 2, "two pods are left")


def test_a_node_that_is_drained_loses_no_request(cluster: Cluster, counted: Counted) -> None:
    """All of the stack's pods go by the eviction API; the one node takes their successors.

    `kubectl drain` lists the pods once, so that what is scheduled after the node is open again stays.
    """
    (node,) = [one["metadata"]["name"] for one in cluster.items("nodes")]
    before = serving(cluster)
    chosen = ("--pod-selector=modelstack.dev/stack=events", "--delete-emptydir-data", "--timeout=300s")
    with counted("node drained"), cluster.started("drain", node, *chosen) as drain:
        until(lambda: bool(cluster.get("node", node)["spec"].get("unschedulable")), "the node is cordoned")
        cluster.must("uncordon", node)
        said, _ = drain.communicate(timeout=300)
        assert drain.returncode == 0, said
        until(lambda: whole(cluster), "every pod is ready and none ends")
        assert not serving(cluster) & before


def test_a_pod_whose_process_is_killed_loses_no_request(cluster: Cluster, counted: Counted) -> None:
    pod = pods(cluster, "digits")[0]
    with counted("kill -9 of a pod's process"):
        (process,) = processes(pod, "model_server")
        os.kill(process, signal.SIGKILL)
        until(lambda: restarts(cluster, pod) == restarts_of(pod) + 1, "the container is started again")


def restarts(cluster: Cluster, pod: dict[str, Any]) -> int:
    return restarts_of(cluster.get("pod", pod["metadata"]["name"], "--namespace", NAMESPACE))


def restarts_of(pod: dict[str, Any]) -> int:
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


@pytest.mark.parametrize(
    ("part", "workload"), [("Prometheus", "statefulset/prometheus"), ("Redis", "deployment/cache")]
)
def test_a_part_that_is_away_loses_no_request(part: str, workload: str, cluster: Cluster, counted: Counted) -> None:
    with counted(f"{part} away for {AWAY_SECONDS} s"):
        scale(cluster, workload, 0)
        until(lambda: not pods(cluster, workload.partition("/")[2]), f"{part} has ended")
        time.sleep(AWAY_SECONDS)
        scale(cluster, workload, 1)
        until(lambda: len(pods(cluster, workload.partition("/")[2])) == 1, f"{part} is back")


def test_a_redis_that_hangs_loses_no_request(cluster: Cluster, counted: Counted) -> None:
    (process,) = processes(pods(cluster, "cache")[0], "redis-server")
    with counted(f"Redis hangs for {AWAY_SECONDS} s"):
        os.kill(process, signal.SIGSTOP)
        try:
            time.sleep(AWAY_SECONDS)
        finally:
            os.kill(process, signal.SIGCONT)


def test_ten_times_what_a_pod_can_do_is_shed_and_restarts_nothing(
    events: Checkout, cluster: Cluster, tell: Callable[[str], None]
) -> None:
    url = events.outputs(STACK)["endpoint"]["narrow"]
    (process,) = processes(pods(cluster, "narrow")[0], "model_server")
    before = {name: restarts_of(pod) for name, pod in named(cluster).items()}
    found = overload(f"{url}/v2/models/narrow/infer", MANY, process)
    tell(found.told("overload of one pod with a tenth of a core"))
    assert not found.other, found.other
    assert found.load.failed
    assert found.asked > 9
    assert found.most <= 2 * found.idle
    assert {name: restarts_of(pod) for name, pod in named(cluster).items()} == before
