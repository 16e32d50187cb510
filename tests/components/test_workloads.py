"""Every pod of a stack with everything in it: what it may do, where it may run, whom it reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.conftest import MODELS
from tests.components.flows import Pod, flows, pods_of, policies_of
from tests.components.programs import Object, Run, stack_in, stack_of
from tests.components.test_scaling import BAKED
from tests.components.test_serving import BASE, NAMED, written

TOKEN = {"argo-rollouts"}  # the one that asks the API server
NAMES = ("digits", "digits-check", "mnist-check", "gateway", "prometheus")
TLS: Object = {"tlsSecret": "models-tls"}  # pragma: allowlist secret
ROUTE: Object = {"type": "Ingress", "host": "models.example.com", "className": "nginx", **TLS}
FLOWS = {
    "all namespaces -> gateway:http",
    "all namespaces -> prometheus:http",
    *(f"gateway -> {model}:http" for model in ("digits", "mnist", "text")),
    *(f"{model}-check -> {model}:http" for model in ("digits", "mnist")),
    "digits -> cache:redis",
    *(f"prometheus -> {to}" for to in ("digits:http", "mnist:http", "text:metrics", "gateway:metrics")),
    *(f"argo-rollouts -> {to}:any port" for to in ("all namespaces", "0.0.0.0/0")),
    *(f"argo-rollouts -> {to}:http" for to in ("prometheus", "gateway")),  # whom all namespaces reach
    *(f"{who} -> anyone:53" for who in NAMES),
}


def everything(folder: Path) -> Object:
    """Return a configuration that brings up every kind of pod there is."""
    recipe = Path(written(folder, NAMED["triton-gpu"]))
    recipe.write_text(recipe.read_text().replace("name: digits", "name: text"))
    canary, switch = {"strategy": "canary"}, {"strategy": "blueGreen"}
    return {
        "models": {
            "digits": {**MODELS["digits"], "cached": True, "rollout": canary, "priority": "serving"},
            "mnist": {**MODELS["mnist"], "rollout": switch},
            "text": {"recipe": str(recipe), "base": BASE, "scale": {"max": 3, "cpu": 80}},
        },
        "gateway": {"enabled": True},
        "exposure": ROUTE,
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("everything")
    return stack_in(folder, everything(folder), baked=BAKED)


@pytest.fixture(scope="module")
def pods(whole: Run) -> list[Pod]:
    return pods_of(whole)


def test_every_kind_of_pod_is_looked_at(pods: list[Pod]) -> None:
    models, checks = {"digits", "mnist", "text"}, {"digits-check", "mnist-check"}
    assert {pod.name for pod in pods} == {*models, *checks, "gateway", "cache", "prometheus", "argo-rollouts"}


def test_every_pod_keeps_to_the_restricted_profile(pods: list[Pod]) -> None:
    for pod in pods:
        security = pod.spec["securityContext"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 65532), pod.name
        for container in pod.spec["containers"]:
            own = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == own, pod.name


def test_a_token_is_given_to_the_one_pod_that_needs_it(pods: list[Pod]) -> None:
    assert {pod.name for pod in pods if pod.spec["automountServiceAccountToken"]} == TOKEN


def test_every_container_asks_for_what_it_needs_and_is_held_to_a_limit(pods: list[Pod]) -> None:
    for pod in pods:
        for container in pod.spec["containers"]:
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), pod.name


def test_every_container_that_stays_has_its_three_probes(pods: list[Pod]) -> None:
    for pod in pods:
        for container in pod.spec["containers"]:
            probes = {name for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in container}
            assert len(probes) == (0 if pod.ends else 3), pod.name


def test_a_process_that_answers_its_probe_late_is_not_ended_for_it(pods: list[Pod]) -> None:
    probes = [container["livenessProbe"] for pod in pods if not pod.ends for container in pod.spec["containers"]]
    assert {one["timeoutSeconds"] for one in probes if "httpGet" in one} == {5}


def test_pods_of_several_replicas_are_spread_and_leave_one_by_one(whole: Run, pods: list[Pod]) -> None:
    spread = {pod.name: found for pod in pods if (found := pod.spec.get("topologySpreadConstraints"))}
    assert set(spread) == {"digits", "text", "gateway"}
    assert {pod.name for pod in pods if pod.replicas > 1} <= {*spread}
    for name, constraints in spread.items():
        keys = [one["topologyKey"] for one in constraints]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert {one["whenUnsatisfiable"] for one in constraints} == {"ScheduleAnyway"}
        budget = whole.of("PodDisruptionBudget")[name]["spec"]
        for selector in (budget["selector"], *(one["labelSelector"] for one in constraints)):
            (chosen,) = [pod.name for pod in pods if selector["matchLabels"].items() <= pod.labels.items()]
            assert chosen == name


def test_a_models_priority_is_its_pods_alone(pods: list[Pod]) -> None:
    assert {pod.name: pod.spec.get("priorityClassName") for pod in pods if "priorityClassName" in pod.spec} == {
        "digits": "serving"
    }


def test_every_pod_is_chosen_by_a_policy_of_its_own_beside_the_one_that_denies_everything(
    whole: Run, pods: list[Pod]
) -> None:
    for pod in pods:
        found = policies_of(whole, pod)
        assert [one for one in found if one["podSelector"] == {}] == [
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        ]
        (own,) = [one for one in found if one["podSelector"]]
        assert own["policyTypes"] == ["Ingress", "Egress"], pod.name


def test_behind_a_gateway_these_flows_are_let_through_and_no_other(whole: Run) -> None:
    assert flows(whole) == FLOWS


def test_without_a_gateway_clients_come_from_whom_the_stack_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    allowed = {"namespaces": ["ingress-nginx"], "cidrs": ["10.0.0.0/8"]}
    run = stack_of(monkeypatch, tmp_path, {"models": MODELS, "exposure": {**ROUTE, "allow": allowed}})
    clients = {line for line in flows(run) if line.startswith(("namespaces", "10.", "all", "anyone", "0."))}
    asked = ("digits:http", "mnist:http", "prometheus:http")
    assert clients == {f"{who} -> {whom}" for who in ("namespaces ingress-nginx", "10.0.0.0/8") for whom in asked}


def test_ports_that_nodes_open_are_anyones_and_series_prometheus_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = {"recipe": written(tmp_path, NAMED["triton"]), "base": BASE}
    run = stack_of(monkeypatch, tmp_path, {"models": {"digits": model}})
    assert {line for line in flows(run) if "digits:" in line} == {
        *(f"{who} -> digits:{port}" for who in ("all namespaces", "0.0.0.0/0") for port in ("http", "grpc")),
        "prometheus -> digits:metrics",
    }
