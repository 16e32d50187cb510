"""What objects of a cluster cost, and that what is not counted of them is named."""

from __future__ import annotations

from typing import Any

import pytest

from cost.lines import Declared
from tests.cost.test_bill import GROUP, NODE, UNKNOWN, Object, group, of

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
DAEMONS = "kubernetes:apps/v1:DaemonSet"
KSERVE = "kubernetes:serving.kserve.io/v1beta1:InferenceService"
GPU = "nvidia.com/gpu"
PRICES = {"cpu": 20.0, "memory": 3.0, GPU: 400.0}
EACH: Object = {"requests": {"cpu": "2", GPU: "4"}, "limits": {GPU: "4"}}


def pods(requests: Object, replicas: Any = 1) -> Declared:
    template = {"spec": {"containers": [{"resources": {"requests": requests}}]}}
    return Declared(DEPLOYMENT, "digits", {"spec": {"replicas": replicas, "template": template}})


def test_pods_cost_what_they_request_where_that_has_a_price() -> None:
    asked = pods({"cpu": "500m", "memory": "2Gi", "nvidia.com/gpu": "1"}, replicas=3)
    found = of(asked, prices={"cpu": 20, "memory": 3, "nvidia.com/gpu": 400})
    assert (found.money, found.missing) == (3 * (10 + 6 + 400), ())


def test_pods_on_machines_that_are_counted_cost_nothing_more() -> None:
    found = of(group(), pods({"cpu": "1", "memory": "1Gi"}))
    assert (found.money, found.missing) == (2 * NODE, ())


def test_pods_without_a_price_on_machines_of_others_are_named() -> None:
    assert of(pods({"cpu": "1"})).missing == (f"{DEPLOYMENT}: no price of cpu of pods",)


@pytest.mark.parametrize(
    "spec",
    [
        UNKNOWN,
        {"replicas": UNKNOWN, "template": {"spec": {"containers": []}}},
        {"template": UNKNOWN},
        {"template": {"spec": {"containers": UNKNOWN}}},
        {"template": {"spec": {"containers": [{"resources": UNKNOWN}]}}},
        {"template": {"spec": {"containers": [{"resources": {"requests": {"cpu": UNKNOWN}}}]}}},
    ],
)
def test_pods_that_are_not_known_yet_are_named_where_pods_are_counted(spec: Any) -> None:
    unknown = Declared("kubernetes:argoproj.io/v1alpha1:Rollout", "digits", {"spec": spec})
    assert of(unknown, prices={"cpu": 1}).missing == (f"{unknown.type}: not known before `up`",)
    assert of(group(), unknown).missing == ()


def test_an_image_that_is_not_known_yet_leaves_the_requests_that_are() -> None:
    container = {"image": UNKNOWN, "resources": {"requests": {"cpu": "2"}}}
    known = Declared(DEPLOYMENT, "digits", {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert (of(known, prices={"cpu": 1}).money, of(known, prices={"cpu": 1}).missing) == (2, ())


def served(**predictor: Any) -> Declared:
    return Declared(KSERVE, "llm", {"spec": {"predictor": predictor}})


def over_nodes(workers: Object, **predictor: Any) -> Declared:
    return served(model={"resources": EACH}, workerSpec={"containers": [{"resources": EACH}], **workers}, **predictor)


def test_a_predictor_costs_what_it_requests_as_often_as_there_are_replicas() -> None:
    found = of(served(model={"resources": EACH}, minReplicas=3), prices=PRICES)
    assert (found.money, found.missing) == (3 * (2 * 20 + 4 * 400), ())


def test_each_room_has_replicas_of_its_own() -> None:
    rooms = {"predictor": {"minReplicas": 3}, "transformer": {"containers": [{"resources": EACH}]}}
    assert of(Declared(KSERVE, "it", {"spec": rooms}), prices=PRICES).money == 2 * 20 + 4 * 400


def test_the_workers_of_a_replica_over_nodes_cost_what_they_request() -> None:
    # Eight GPUs of each of two stages, four a pod: one head and three workers, twice.
    found = of(over_nodes({"tensorParallelSize": 8, "pipelineParallelSize": 2}, minReplicas=2), prices=PRICES)
    assert (found.money, found.missing) == (2 * 4 * (2 * 20 + 4 * 400), ())


@pytest.mark.parametrize(
    "one",
    [
        over_nodes({}),
        over_nodes({"tensorParallelSize": UNKNOWN, "pipelineParallelSize": 2}),
        served(model={"resources": {"requests": {"cpu": "1"}}}, workerSpec={"pipelineParallelSize": 2}),
        served(model={"resources": EACH}, workerSpec=UNKNOWN),
    ],
)
def test_workers_whose_number_is_not_said_are_named(one: Declared) -> None:
    assert f"{KSERVE}: its workers" in of(one, prices=PRICES).missing
    assert of(group(), one).missing == ()


def test_a_predictor_whose_runtime_says_what_it_requests_is_named() -> None:
    assert of(served(model={"runtime": "big"}), prices=PRICES).missing == (f"{KSERVE}: what its runtime requests",)


@pytest.mark.parametrize("spec", [UNKNOWN, {"predictor": UNKNOWN}, {"predictor": {"minReplicas": UNKNOWN}}])
def test_a_predictor_that_is_not_known_yet_is_named(spec: Any) -> None:
    assert of(Declared(KSERVE, "it", {"spec": spec}), prices=PRICES).missing == (f"{KSERVE}: not known before `up`",)


@pytest.mark.parametrize("type_", ["kubernetes:helm.sh/v3:Release", "kubernetes:helm.sh/v4:Chart"])
def test_charts_are_named(type_: str) -> None:
    assert of(Declared(type_, "keda", {})).missing == (f"{type_}: what the chart brings",)


@pytest.mark.parametrize(
    "type_",
    [
        "kubernetes:batch/v1:Job",
        "kubernetes:batch/v1:CronJob",
        "kubernetes:core/v1:Pod",
        "kubernetes:kubeflow.org/v1:PyTorchJob",
        "kubernetes:ray.io/v1:RayJob",
    ],
)
def test_what_runs_for_a_while_is_named_where_no_machine_is_counted_for_it(type_: str) -> None:
    one = Declared(type_, "train", {"spec": {}})
    assert of(one, prices=PRICES).missing == (f"{type_}: while it runs",)
    assert of(one).missing == (f"{type_}: while it runs",)
    assert of(group(), one).missing == ()


def daemons() -> Declared:
    return Declared(DAEMONS, "exporter", {"spec": pods({"cpu": "1"}).properties["spec"]})


def test_daemons_run_on_each_node_that_is_counted() -> None:
    found = of(group(nodes=3), daemons(), prices={"m7i.large": 730, "storage": 0.2, "cpu": 20})
    assert (found.money, found.missing) == (3 * NODE + 3 * 20, ())


@pytest.mark.parametrize(
    "beside", [(), (group(nodes=UNKNOWN),), (group(), Declared("kubernetes:karpenter.sh/v1:NodePool", "gpus", {}))]
)
def test_daemons_on_nodes_that_are_not_counted_are_named(beside: tuple[Declared, ...]) -> None:
    found = of(*beside, daemons(), prices={"m7i.large": 730, "storage": 0.2, "cpu": 20})
    assert f"{DAEMONS}: pods on nodes that are not counted" in found.missing
    assert not [one for one in found.lines if one.resource.type == DAEMONS and one.money]


def test_daemons_on_machines_that_are_paid_for_cost_nothing_more() -> None:
    assert [one.resource.type for one in of(group(), daemons()).lines] == [GROUP]
