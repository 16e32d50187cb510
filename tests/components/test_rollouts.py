"""Progressive delivery as a program asks for it: Rollouts, what judges them, who waits, and the controller."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.components.conftest import MODELS, Program
from tests.components.programs import MANIFESTS, Object, Run, hexadecimal

CANARY: Object = {"strategy": "canary", "steps": [{"weight": 20, "seconds": 10}, {"weight": 50, "seconds": 30}]}
BLUE_GREEN: Object = {"strategy": "blueGreen", "previewSeconds": 20}
VERSION = hexadecimal("digits")[:12]


def models(rollout: Object) -> dict[str, Object]:
    return {**MODELS, "digits": {**MODELS["digits"], "rollout": rollout}}


@pytest.fixture
def canary(program: Program) -> Run:
    return program({"models": models(CANARY)})


@pytest.fixture
def blue_green(program: Program) -> Run:
    return program({"models": models(BLUE_GREEN)})


def custom(run: Run, kind: str) -> dict[str, Object]:
    return {one.name: one.inputs for one in run.made if one.inputs.get("kind") == kind}


def rollout(run: Run) -> Object:
    found: Object = custom(run, "Rollout")["digits"]["spec"]
    return found


def metric(run: Run, template: str, name: str) -> Object:
    metrics = custom(run, "AnalysisTemplate")[template]["spec"]["metrics"]
    return next(one for one in metrics if one["name"] == name)


def container(run: Run, template: str = "digits-agreement") -> Object:
    (found,) = metric(run, template, "agreement")["provider"]["job"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {*value, *(key for one in value.values() for key in keys(one))}
    return {key for one in value for key in keys(one)} if isinstance(value, list) else set()


def test_a_rolling_stack_has_no_controller_and_no_custom_kinds(dev: Run) -> None:
    assert custom(dev, "Rollout") == {}
    assert dev.of("Definitions") == {}
    assert "argo-rollouts" not in dev.of("Deployment")


def test_a_canary_takes_the_deployments_place_with_the_same_pods(canary: Run, dev: Run) -> None:
    assert set(canary.of("Deployment")) == {"mnist", "argo-rollouts"}
    assert rollout(canary)["template"] == dev.of("Deployment")["digits"]["spec"]["template"]
    assert rollout(canary)["selector"] == dev.of("Deployment")["digits"]["spec"]["selector"]
    assert rollout(canary)["replicas"] == 2


def test_what_the_api_server_reads_is_in_its_own_spelling(canary: Run) -> None:
    specs = [one["spec"] for kind in ("Rollout", "AnalysisTemplate") for one in custom(canary, kind).values()]
    smoke = [one["pod"] for one in canary.of("SmokeTest").values()]
    assert [key for spec in [*specs, *smoke] for key in keys(spec) if "_" in key] == []


def test_behind_a_gateway_each_version_of_a_canary_has_a_name_and_no_more_than_its_weight(program: Program) -> None:
    run = program({"models": models(CANARY), "gateway": {"enabled": True}})
    config = run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    for role in ("stable", "canary"):
        label = rollout(run)["strategy"]["canary"][f"{role}Metadata"]["labels"]["modelstack.dev/role"]
        assert run.of("Service")[f"digits-{role}-pods"]["spec"]["selector"]["modelstack.dev/role"] == label == role
        assert f" digits-{role}-pods.modelstack-dev.svc.cluster.local:8080 " in config
    # Of two pods, both steps have one.
    assert re.findall(r"set-var\(txn.most\) int\((\d+)\) if is.digits { var\(txn.pods\) -m int le (\d)", config) == [
        ("20", "1")
    ]


def test_without_a_gateway_nothing_tells_a_canarys_pods_apart_by_name(canary: Run) -> None:
    assert not {"digits-stable-pods", "digits-canary-pods"} & set(canary.of("Service"))


def test_a_canary_never_serves_with_fewer_pods_than_asked_for(canary: Run) -> None:
    found = rollout(canary)["strategy"]["canary"]
    assert (found["maxUnavailable"], found["maxSurge"]) == (0, 1)


def test_each_step_is_judged_by_answers_and_then_by_series(canary: Run) -> None:
    steps = rollout(canary)["strategy"]["canary"]["steps"]
    assert [one.get("setWeight") for one in steps] == [20, None, None, 50, None, None]
    told = [
        (one["analysis"]["templates"][0]["templateName"], one["analysis"]["args"][0]["name"])
        for one in steps
        if "analysis" in one
    ]
    assert told == [("digits-agreement", "seconds"), ("digits-requests", "window")] * 2
    assert [one["analysis"]["args"][0]["value"] for one in steps if "analysis" in one] == ["10", "70", "30", "90"]


@pytest.mark.parametrize("name", ["error-ratio", "p99"])
def test_what_prometheus_cannot_tell_is_not_promoted(canary: Run, name: str) -> None:
    found = metric(canary, "digits-requests", name)
    limit = {"error-ratio": 0.01, "p99": 1.0}[name]
    assert found["successCondition"] == f"len(result) > 0 && !isNaN(result[0]) && result[0] <= {limit}"
    # With a second condition a value may be neither, and a rollout that waits for a person is no answer.
    assert "failureCondition" not in found
    limits = ("count", "consecutiveSuccessLimit", "failureLimit", "inconclusiveLimit", "consecutiveErrorLimit")
    assert [found[key] for key in limits] == [10, 1, 9, 0, 1]


@pytest.mark.parametrize("name", ["error-ratio", "p99"])
def test_a_query_reads_the_new_versions_series_alone(canary: Run, name: str) -> None:
    asked = metric(canary, "digits-requests", name)["provider"]["prometheus"]
    selectors = re.findall(r"modelstack_\w+\{([^}]*)\}", asked["query"])
    assert selectors
    assert all(f'model="digits",version="{VERSION}"' in one for one in selectors)
    assert "offset {{args.window}}s" in asked["query"]
    assert asked["address"] == "http://prometheus:9090"


def test_the_golden_set_is_sent_to_the_canarys_pods_and_to_stable(canary: Run) -> None:
    command = container(canary)["command"]
    told = dict(zip(command[3::2], command[4::2], strict=True))
    assert told == {
        "--model": "digits",
        "--url": "http://digits-canary:8080",
        "--stable": "http://digits-stable:8080",
        "--version": VERSION,
        "--min-agreement": "0.75",
        "--seconds": "{{args.seconds}}",
    }
    assert container(canary)["image"] == canary.outputs["models"]["digits"]["image"]


def test_a_check_keeps_to_the_restricted_profile(canary: Run) -> None:
    spec = metric(canary, "digits-agreement", "agreement")["provider"]["job"]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container(canary)["securityContext"]["readOnlyRootFilesystem"] is True


def test_no_service_counts_a_check_among_the_models_pods(canary: Run) -> None:
    labels = canary.of("SmokeTest")["digits-smoke"]["labels"]
    selector = canary.of("Service")["digits"]["spec"]["selector"]
    assert not selector.items() <= labels.items()
    assert "modelstack.dev/model" not in labels


def test_a_check_reaches_names_and_the_models_pods_alone(canary: Run) -> None:
    policy = canary.of("NetworkPolicy")["digits-check"]["spec"]
    names, servers = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert servers["to"] == [{"podSelector": {"matchLabels": canary.of("Service")["digits"]["spec"]["selector"]}}]
    assert "ingress" not in policy


def test_up_waits_for_the_promotion_before_it_makes_the_service(canary: Run) -> None:
    order = [(one.type.rpartition(":")[2], one.name) for one in canary.made]
    services = [order.index(("Service", f"digits-{name}")) for name in ("canary", "stable")]
    wait = order.index(("Promotion", "digits"))
    assert max(services) < wait < order.index(("Service", "digits")) < order.index(("SmokeTest", "digits-smoke"))


def test_the_promotion_is_asked_for_anew_with_every_version(program: Program, canary: Run) -> None:
    other = program({"models": models(CANARY)}, inputs={"digits": "f" * 64})
    again = program({"models": models(CANARY)})
    wanted = [run.of("Promotion")["digits"]["wanted"] for run in (canary, other, again)]
    assert wanted[0] != wanted[1]
    assert wanted[0] == wanted[2]


def test_a_promotion_may_take_as_long_as_its_steps(canary: Run) -> None:
    # Three times the pods' deadline of 300 s, the steps' 10 and 30 s, and 120 s around each of the two.
    assert canary.of("Promotion")["digits"]["seconds"] == 900 + 40 + 240


def test_a_canary_without_steps_has_two(program: Program) -> None:
    steps = rollout(program({"models": models({"strategy": "canary"})}))["strategy"]["canary"]["steps"]
    assert [one["setWeight"] for one in steps if "setWeight" in one] == [20, 50]


def test_blue_green_is_judged_before_the_switch_and_not_by_traffic(blue_green: Run) -> None:
    found = rollout(blue_green)["strategy"]["blueGreen"]
    assert (found["activeService"], found["previewService"]) == ("digits", "digits-preview")
    before = found["prePromotionAnalysis"]
    assert [one["templateName"] for one in before["templates"]] == ["digits-agreement", "digits-requests"]
    assert {one["name"]: one["value"] for one in before["args"]} == {"seconds": "20", "window": "80"}
    command = container(blue_green)["command"]
    assert command[command.index("--url") + 1] == "http://digits-preview:8080"
    assert command[command.index("--stable") + 1] == "http://digits:8080"


def test_series_of_blue_green_are_read_when_the_golden_set_has_been_sent(blue_green: Run, canary: Run) -> None:
    assert metric(blue_green, "digits-requests", "p99")["initialDelay"] == "30s"
    assert metric(canary, "digits-requests", "p99")["initialDelay"] == "10s"


def test_the_service_of_blue_green_is_there_before_the_rollout_and_waits_for_no_pods(blue_green: Run) -> None:
    order = [one.name for one in blue_green.made if one.type.endswith("Service") or one.inputs.get("kind") == "Rollout"]
    assert order.index("digits-preview") < len(order)
    service = blue_green.of("Service")["digits"]
    assert service["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_a_gateway_finds_the_active_pods_alone(program: Program) -> None:
    run = program({"models": models(BLUE_GREEN), "gateway": {"enabled": True}})
    service = run.of("Service")["digits"]["spec"]
    assert (service["clusterIP"], service.get("publishNotReadyAddresses")) == ("None", None)
    config = run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    assert "server-template pod 8 digits.modelstack-dev.svc.cluster.local:8080 " in config
    assert "server-template pod 8 mnist-pods.modelstack-dev.svc.cluster.local:8080 " in config


def test_the_controller_comes_once_for_a_stack_and_before_its_rollouts(program: Program) -> None:
    both = {name: {**one, "rollout": CANARY} for name, one in MODELS.items()}
    run = program({"models": both})
    names = [one.name for one in run.made]
    assert names.count("rollouts") == 1
    order = [(one.type.rpartition(":")[2], one.name) for one in run.made]
    assert order.index(("Definitions", "argo-rollouts")) < order.index(("Deployment", "argo-rollouts"))
    deployed = order.index(("Deployment", "argo-rollouts"))
    assert all(deployed < order.index(("Promotion", model)) for model in MODELS)


def test_a_controller_that_is_installed_is_used(program: Program) -> None:
    run = program({"models": models(CANARY), "rollouts": {"installed": True}})
    assert "argo-rollouts" not in run.of("Deployment")
    assert run.of("Definitions") == {}
    assert set(custom(run, "Rollout")) == {"digits"}


def test_the_kinds_are_the_embedded_platforms_by_a_hash_that_is_pinned(canary: Run) -> None:
    found = canary.of("Definitions")["argo-rollouts"]
    assert found["source"] == MANIFESTS["rollouts"]
    assert re.fullmatch(r"[0-9a-f]{64}", found["sha256"])


def test_on_a_cluster_of_ones_own_the_kinds_are_the_releases(program: Program, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("")
    run = program(
        {
            "models": models(CANARY),
            "cluster": {"kubeconfig": str(kubeconfig), "context": "prod"},
            "registry": {"push": "registry.example"},
            "base": f"registry.example/base@sha256:{'a' * 64}",
        }
    )
    assert run.of("Definitions")["argo-rollouts"]["source"].startswith("https://")
    for kind in ("Definitions", "Promotion", "SmokeTest"):
        for one in run.of(kind).values():
            assert (one["kubeconfig"], one["context"]) == (str(kubeconfig), "prod")
    assert run.of("PinnedImage")["rollouts"]["image"].startswith("quay.io/argoproj/argo-rollouts:v")


def test_the_controller_sees_its_namespace_alone(canary: Run) -> None:
    (container,) = canary.of("Deployment")["argo-rollouts"]["spec"]["template"]["spec"]["containers"]
    assert "--namespaced" in container["args"]
    assert canary.of("ClusterRole") == canary.of("ClusterRoleBinding") == {}


def test_the_controller_reads_no_secret_but_its_own(canary: Run) -> None:
    (rule,) = [one for one in canary.of("Role")["argo-rollouts"]["rules"] if "secrets" in one["resources"]]
    assert rule["resourceNames"] == ["argo-rollouts-notification-secret"]
    rules = canary.of("Role")["argo-rollouts"]["rules"]
    assert all("*" not in json.dumps(one) for one in rules)


def test_the_golden_set_goes_through_the_service_of_every_new_version(dev: Run, program: Program) -> None:
    assert set(dev.of("SmokeTest")) == {"digits-smoke", "mnist-smoke"}
    (container,) = dev.of("SmokeTest")["digits-smoke"]["pod"]["containers"]
    assert container["command"][3:] == ["--model", "digits", "--url", "http://digits:8080", "--version", VERSION]
    changed = program(inputs={"digits": "f" * 64}).of("SmokeTest")
    assert changed["digits-smoke"] != dev.of("SmokeTest")["digits-smoke"]
    assert changed["mnist-smoke"] == dev.of("SmokeTest")["mnist-smoke"]


def test_behind_a_gateway_no_request_reaches_a_preview(program: Program) -> None:
    run = program({"models": models(BLUE_GREEN), "gateway": {"enabled": True}})
    config = run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    assert "digits.modelstack-dev.svc" in config
    assert "digits-pods" not in config
    assert "mnist-pods.modelstack-dev.svc" in config
