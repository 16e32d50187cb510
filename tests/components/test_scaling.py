"""Scaling as a program asks for it: what counts pods, what it reads, and who may change their number."""

from __future__ import annotations

import pytest

from tests.components.conftest import MODELS, Program
from tests.components.programs import IMAGES, Object, Run
from tests.components.test_rollouts import custom

CPU: Object = {"min": 2, "max": 6, "cpu": 70, "downSeconds": 120}
SERIES: Object = {"max": 6, "waiting": 8, "requests": 200}
KEDA: Object = {"keda": {"installed": True}, "gateway": {"enabled": True}}
BAKED = (*IMAGES, "metrics-server", "keda")


def models(scale: Object, **others: object) -> dict[str, Object]:
    return {**MODELS, "digits": {"recipe": MODELS["digits"]["recipe"], "scale": scale, **others}}


@pytest.fixture
def by_cpu(program: Program) -> Run:
    return program({"models": models(CPU)}, baked=BAKED)


def scaled_object(run: Run) -> Object:
    found: Object = custom(run, "ScaledObject")["digits"]["spec"]
    return found


def test_cpu_alone_is_read_by_kubernetes_itself(by_cpu: Run) -> None:
    found = by_cpu.of("HorizontalPodAutoscaler")["digits"]["spec"]
    assert (found["minReplicas"], found["maxReplicas"]) == (2, 6)
    assert found["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "digits"}
    (metric,) = found["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    assert custom(by_cpu, "ScaledObject") == {}


def test_an_autoscaler_is_not_in_the_way_of_a_scaled_object_that_takes_its_place(by_cpu: Run) -> None:
    annotations = by_cpu.of("HorizontalPodAutoscaler")["digits"]["metadata"]["annotations"]
    # What KEDA's admission asks for: https://keda.sh/docs/2.21/reference/scaledobject-spec/.
    assert annotations == {"validations.keda.sh/hpa-ownership": "false"}


def test_pods_come_at_once_and_go_slowly(by_cpu: Run) -> None:
    found = by_cpu.of("HorizontalPodAutoscaler")["digits"]["spec"]["behavior"]
    assert (found["scaleUp"]["stabilizationWindowSeconds"], found["scaleDown"]["stabilizationWindowSeconds"]) == (
        0,
        120,
    )
    up, down = (found[way]["policies"] for way in ("scaleUp", "scaleDown"))
    assert {one["type"]: (one["value"], one["periodSeconds"]) for one in up} == {"Percent": (100, 15), "Pods": (4, 15)}
    assert {one["type"]: (one["value"], one["periodSeconds"]) for one in down} == {"Percent": (10, 60), "Pods": (1, 60)}


def test_the_first_pods_are_the_least_and_a_model_of_fixed_replicas_is_scaled_by_nobody(by_cpu: Run, dev: Run) -> None:
    assert by_cpu.of("Deployment")["digits"]["spec"]["replicas"] == 2
    assert set(by_cpu.of("HorizontalPodAutoscaler")) == {"digits"}
    assert dev.of("HorizontalPodAutoscaler") == {}


def test_fixed_replicas_are_taken_back_from_what_scaled_them(by_cpu: Run) -> None:
    annotations = {name: one["metadata"]["annotations"] for name, one in by_cpu.of("Deployment").items()}
    assert annotations["mnist"]["pulumi.com/patchForce"] == "true"
    assert "pulumi.com/patchForce" not in annotations["digits"]


@pytest.mark.parametrize("strategy", ["canary", "blueGreen"])
def test_of_a_rollout_the_rollout_is_scaled(program: Program, strategy: str) -> None:
    run = program({"models": models(CPU, rollout={"strategy": strategy})}, baked=BAKED)
    target = run.of("HorizontalPodAutoscaler")["digits"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "digits"}
    assert custom(run, "Rollout")["digits"]["spec"]["replicas"] == 2


def test_series_are_read_by_keda_and_cpu_beside_them_by_nobody_else(program: Program) -> None:
    run = program({"models": models({**SERIES, "cpu": 70}), **KEDA}, baked=BAKED)
    assert run.of("HorizontalPodAutoscaler") == {}
    triggers = scaled_object(run)["triggers"]
    assert [one["type"] for one in triggers] == ["prometheus", "prometheus", "cpu"]
    told = [one["metadata"] for one in triggers]
    assert [one.get("query") for one in told] == [
        'sum(modelstack_waiting{model="digits"})',
        'sum(rate(modelstack_requests_total{model="digits"}[1m]))',
        None,
    ]
    assert [one.get("threshold") for one in told] == ["8", "200", None]
    assert told[0]["serverAddress"] == "http://prometheus.modelstack-dev.svc:9090"
    assert triggers[2] == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}


def test_a_scaled_object_is_in_the_api_servers_own_spelling(program: Program) -> None:
    found = scaled_object(program({"models": models(SERIES), **KEDA}, baked=BAKED))
    assert (found["minReplicaCount"], found["maxReplicaCount"]) == (1, 6)
    assert (found["cooldownPeriod"], found["initialCooldownPeriod"]) == (300, 300)
    behavior = found["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_no_pod_is_woken_by_what_the_gateway_was_asked_and_counts_for_one_pod(program: Program) -> None:
    awake, asleep = (
        scaled_object(program({"models": models({**SERIES, "min": least}), **KEDA}, baked=BAKED))["triggers"]
        for least in (1, 0)
    )
    assert asleep[:2] == awake
    (wakes,) = asleep[2:]
    came, there = wakes["metadata"]["query"].split(" + ")
    assert came == 'sum(rate(haproxy_backend_sessions_total{proxy=~"digits[.].+"}[1m]))'
    # What is held, or takes longer than a minute to answer, keeps its pod.
    assert there == 'sum(haproxy_backend_current_sessions{proxy=~"digits[.].+"})'
    assert int(wakes["metadata"]["threshold"]) > 1_000_000


def test_where_there_may_be_no_pod_nothing_waits_for_one(program: Program) -> None:
    run = program({"models": models({**SERIES, "min": 0}), **KEDA}, baked=BAKED)
    skipped = {
        name: one["metadata"].get("annotations", {}).get("pulumi.com/skipAwait")
        for name, one in run.of("Service").items()
    }
    assert (skipped["digits"], skipped["mnist"]) == ("true", None)
    assert set(run.of("SmokeTest")) == {"mnist-smoke"}


def test_behind_the_gateway_a_request_waits_for_the_pod_that_it_wakes(program: Program) -> None:
    run = program({"models": models({**SERIES, "min": 0}), **KEDA}, baked=BAKED)
    config = run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    assert "use_backend digits.waking if is.digits { nbsrv(digits.stable) eq 0 }" in config
    assert "server service digits.modelstack-dev.svc.cluster.local:8080" in config.partition("backend digits.waking")[2]
    assert "mnist.waking" not in config


def test_the_gateway_has_room_for_the_most_pods_there_may_be(program: Program) -> None:
    run = program({"models": models(CPU), "gateway": {"enabled": True}}, baked=BAKED)
    config = run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    assert "server-template pod 16 digits-pods." in config


def test_a_canary_whose_pods_are_scaled_shares_requests_by_pods_without_a_cap(program: Program) -> None:
    scaled = models(CPU, rollout={"strategy": "canary"})
    run = program({"models": scaled, "gateway": {"enabled": True}}, baked=BAKED)
    config = run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    assert "set-var(txn.share)" in config
    assert "txn.pods) -m int le" not in config
