"""The whole program, from a stack's configuration to what it asks of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pulumi
import pytest
import yaml

from tests.components.conftest import MODELS, Program
from tests.components.programs import CONNECTION, NODE_PORT, Engine, Made, Object, Run, awaited, hexadecimal

BY_DIGEST = re.compile(r"[^@]+@sha256:[0-9a-f]{64}")


def workloads(run: Run) -> dict[str, Object]:
    return {**run.of("Deployment"), **run.of("StatefulSet")}


def pods(run: Run) -> Iterator[Object]:
    for one in workloads(run).values():
        yield one["spec"]["template"]


def selectors(one: Made) -> Iterator[Object]:
    """Every label selector of an object."""
    spec = one.inputs.get("spec", {})
    if one.type == "kubernetes:core/v1:Service":
        yield spec["selector"]
        return
    found = [spec.get("selector"), spec.get("podSelector")]
    peers = [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
    for chosen in [*found, *(peer.get("podSelector") for peer in peers)]:
        if chosen:
            yield chosen["matchLabels"]


def test_a_program_whose_output_fails_fails_the_test() -> None:
    def fails() -> None:
        pulumi.export("never", pulumi.Output.from_input(1).apply(lambda one: one / 0))

    with pytest.raises(ZeroDivisionError):
        awaited(Engine({}), fails)


def test_the_stack_exports_addresses_models_and_namespace(dev: Run) -> None:
    url = f"http://127.0.0.1:{NODE_PORT}"
    assert dev.outputs["endpoint"] == {"digits": url, "mnist": url}
    assert dev.outputs["prometheus"] == url
    assert dev.outputs["namespace"] == "modelstack-dev"
    digits = dev.outputs["models"]["digits"]
    assert digits["inputs"] == hexadecimal("digits")
    assert digits["image"] == f"127.0.0.1:7401/modelstack/digits@sha256:{hexadecimal(hexadecimal('digits'))}"
    assert digits["metrics"] == {"accuracy": 0.98}


def test_no_address_of_the_host_leaves_the_program(dev: Run) -> None:
    assert "/data/test" not in str(dev.outputs)


def test_an_image_is_made_of_the_recipe_and_the_platforms_base(dev: Run) -> None:
    inputs = dev.of("ModelImage")["digits"]
    assert inputs == {
        "recipe": "models/digits/recipe.yaml",
        "base": CONNECTION["images"]["base"],  # type: ignore[index]
        "push": "127.0.0.1:7401",
        "pull": "127.0.0.1:7401",
        "repository": "modelstack/digits",
    }


def test_keys_and_prefix_of_the_registry_reach_every_image(program: Program) -> None:
    registry = {"push": "127.0.0.1:7401", "prefix": "review", "signingKey": "env://KEY", "publicKeys": ["a.pub"]}
    for name, inputs in program({"models": MODELS, "registry": registry}).of("ModelImage").items():
        assert inputs["repository"] == f"review/{name}"
        assert (inputs["signingKey"], inputs["publicKeys"]) == ("env://KEY", ["a.pub"])


def test_two_stacks_ask_for_the_same_image(program: Program) -> None:
    assert program(stack="dev").of("ModelImage") == program(stack="test").of("ModelImage")


def test_every_pod_runs_an_image_by_digest(dev: Run) -> None:
    images = [container["image"] for pod in pods(dev) for container in pod["spec"]["containers"]]
    assert len(images) == 3
    assert all(BY_DIGEST.fullmatch(image) for image in images)


def test_the_deployment_runs_the_image_that_was_built(dev: Run) -> None:
    (container,) = dev.of("Deployment")["digits"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == dev.outputs["models"]["digits"]["image"]


def test_a_changed_recipe_changes_that_models_deployment_alone(program: Program, dev: Run) -> None:
    changed = program(inputs={"digits": "f" * 64})
    before = {(one.type, one.name): one.inputs for one in dev.objects()}
    after = {(one.type, one.name): one.inputs for one in changed.objects()}
    assert before.keys() == after.keys()
    differing = {key for key in before if before[key] != after[key]}
    assert differing == {("kubernetes:apps/v1:Deployment", "digits")}


def test_every_pod_is_restricted(dev: Run) -> None:
    for pod in pods(dev):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_no_pod_is_given_a_token_of_the_api_server(dev: Run) -> None:
    assert all(pod["spec"]["automountServiceAccountToken"] is False for pod in pods(dev))


def test_every_container_has_requests_and_limits(dev: Run) -> None:
    for pod in pods(dev):
        for container in pod["spec"]["containers"]:
            for kind in ("requests", "limits"):
                assert set(container["resources"][kind]) == {"cpu", "memory"}


def test_every_container_is_probed_by_the_name_of_its_port(dev: Run) -> None:
    for pod in pods(dev):
        for container in pod["spec"]["containers"]:
            assert [port["name"] for port in container["ports"]] == ["http"]
            probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
            assert all(probe["httpGet"]["port"] == "http" for probe in probes)


def test_a_rollout_takes_no_pod_away_before_the_new_one_is_ready(dev: Run) -> None:
    spec = dev.of("Deployment")["digits"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_pod_outlives_its_pre_stop_and_its_drain(dev: Run) -> None:
    pod = dev.of("Deployment")["digits"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    drain, deadline = 3, 10  # model_server's defaults
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert wait + drain + deadline < pod["terminationGracePeriodSeconds"]


def test_replicas_come_from_the_settings(dev: Run) -> None:
    replicas = {name: one["spec"]["replicas"] for name, one in dev.of("Deployment").items()}
    assert replicas == {"digits": 2, "mnist": 1}


def test_the_namespace_enforces_restricted_pods(dev: Run) -> None:
    (namespace,) = dev.of("Namespace").values()
    assert namespace["metadata"]["name"] == "modelstack-dev"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_object_lies_in_the_stacks_namespace_under_the_stacks_provider(dev: Run) -> None:
    for one in dev.objects():
        assert "cluster" in one.provider, one.name
        if one.type != "kubernetes:core/v1:Namespace":
            assert one.inputs["metadata"]["namespace"] == "modelstack-dev", one.name


def test_every_object_carries_the_labels(dev: Run) -> None:
    for one in dev.objects():
        labels = one.inputs["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == labels["modelstack.dev/stack"] == "dev", one.name
        assert labels["app.kubernetes.io/part-of"] == "modelstack"
        assert labels["app.kubernetes.io/managed-by"] == "pulumi"
        assert "app.kubernetes.io/name" in labels


def test_the_inputs_hash_is_on_pod_templates_alone(dev: Run) -> None:
    assert not any("modelstack.dev/inputs" in one.inputs["metadata"]["labels"] for one in dev.objects())
    template = dev.of("Deployment")["digits"]["spec"]["template"]["metadata"]["labels"]
    assert template["modelstack.dev/inputs"] == hexadecimal("digits")[:16]
    assert template["app.kubernetes.io/version"] == hexadecimal("digits")[:12]


def test_selectors_hold_name_and_instance_alone(dev: Run) -> None:
    found = [chosen for one in dev.objects() for chosen in selectors(one)]
    assert len(found) > 10
    assert all(set(one) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"} for one in found)


def test_every_selector_finds_pods(dev: Run) -> None:
    checks = [one["labels"].items() for one in dev.of("SmokeTest").values()]
    templates = [*checks, *(pod["metadata"]["labels"].items() for pod in pods(dev))]
    for one in dev.objects():
        for chosen in selectors(one):
            assert any(chosen.items() <= labels for labels in templates), one.name


def test_ingress_and_egress_are_denied_by_default(dev: Run) -> None:
    policy = dev.of("NetworkPolicy")["cluster-default-deny"]["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_server_reaches_nothing_and_is_reached_on_one_port(dev: Run) -> None:
    policy = dev.of("NetworkPolicy")["digits"]["spec"]
    assert "egress" not in policy
    assert "Egress" in policy["policyTypes"]
    assert all(rule["ports"] == [{"port": "http", "protocol": "TCP"}] for rule in policy["ingress"])


def test_prometheus_reaches_the_servers_and_names_alone(dev: Run) -> None:
    names, servers = dev.of("NetworkPolicy")["prometheus"]["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    reached = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in servers["to"]]
    assert reached == ["digits", "mnist"]


def test_prometheus_finds_every_model_by_its_headless_service(dev: Run) -> None:
    jobs = yaml.safe_load(dev.of("ConfigMap")["prometheus"]["data"]["prometheus.yml"])["scrape_configs"]
    names = {job["job_name"]: job["dns_sd_configs"][0]["names"] for job in jobs if "dns_sd_configs" in job}
    assert names == {"digits": ["_http._tcp.digits-pods"], "mnist": ["_http._tcp.mnist-pods"]}
    for model in names:
        spec = dev.of("Service")[f"{model}-pods"]["spec"]
        assert (spec["clusterIP"], spec["ports"][0]["name"]) == ("None", "http")


def test_objectives_are_series_of_prometheus(program: Program, dev: Run) -> None:
    digits = {**MODELS["digits"], "slo": {"availability": 0.999, "p99Seconds": 0.5}}
    run = program({"models": {**MODELS, "digits": digits}})
    files = run.of("ConfigMap")["prometheus"]["data"]
    assert yaml.safe_load(files["prometheus.yml"])["rule_files"] == ["objectives.yml"]
    (group,) = yaml.safe_load(files["objectives.yml"])["groups"]
    assert [(one["record"], one["labels"], one["expr"]) for one in group["rules"]] == [
        ("model:slo_availability:target", {"model": "digits"}, "vector(0.999)"),
        ("model:slo_p99_seconds:target", {"model": "digits"}, "vector(0.5)"),
    ]
    assert set(dev.of("ConfigMap")["prometheus"]["data"]) == {"prometheus.yml"}
    assert read(run) != read(dev)


def read(run: Run) -> str:
    """What restarts Prometheus when it changes."""
    template = run.of("StatefulSet")["prometheus"]["spec"]["template"]
    return str(template["metadata"]["annotations"]["modelstack.dev/config"])


def test_changed_scraping_restarts_prometheus(program: Program, dev: Run) -> None:
    one_model = program({"models": {"digits": MODELS["digits"]}})

    def annotations(run: Run) -> Object:
        found: Object = run.of("StatefulSet")["prometheus"]["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations(one_model) != annotations(dev)


def test_a_volume_claim_takes_the_scratch_volumes_place(program: Program) -> None:
    spec = program({"models": MODELS, "monitoring": {"storage": "5Gi"}}).of("StatefulSet")["prometheus"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "5Gi"}
    assert [volume["name"] for volume in spec["template"]["spec"]["volumes"]] == ["config"]


def test_monitoring_can_be_left_out(program: Program) -> None:
    run = program({"models": MODELS, "monitoring": {"enabled": False}})
    assert "prometheus" not in run.outputs
    assert run.of("StatefulSet") == {}


def test_a_base_by_tag_is_pinned(program: Program) -> None:
    run = program({"models": MODELS, "base": "registry.example/base:1"})
    (pinned,) = run.of("PinnedImage").values()
    assert pinned["image"] == "registry.example/base:1"
    assert BY_DIGEST.fullmatch(run.of("ModelImage")["digits"]["base"])


def test_a_service_is_made_after_its_pods(dev: Run) -> None:
    order = [(one.type.rpartition(":")[2], one.name) for one in dev.made]
    assert order.index(("Deployment", "digits")) < order.index(("Service", "digits"))
    assert order.index(("StatefulSet", "prometheus")) < order.index(("Service", "prometheus"))
