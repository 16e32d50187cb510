"""The gateway as a stack asks for it: pods, files, who may connect, and what its address is."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from components import gateway
from components.haproxy import DRAIN_SECONDS
from tests.components.conftest import MODELS, Program
from tests.components.programs import IMAGES, NODE_PORT, Object, Run

HASH = "0123456789abcdef" * 4
KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
TLS: Object = {"secret": "models-tls"}  # pragma: allowlist secret
JWT: Object = {"publicKey": KEY, "issuer": "https://issuer.example", "audience": "models"}


def behind(program: Program, **settings: Any) -> Run:
    """Run the program with a gateway before its models."""
    return program({"models": MODELS, "gateway": {"enabled": True, **settings}})


@pytest.fixture
def run(program: Program) -> Run:
    return behind(program)


def pod(run: Run) -> Object:
    found: Object = run.of("Deployment")["gateway"]["spec"]["template"]
    return found


def config(run: Run) -> str:
    return str(run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"])


def test_the_gateways_url_is_the_endpoint_of_every_model(run: Run) -> None:
    url = f"http://127.0.0.1:{NODE_PORT}"
    assert run.outputs["endpoint"] == {"digits": url, "mnist": url}
    types = {name: run.of("Service")[name]["spec"].get("type") for name in ("gateway", "digits", "mnist")}
    assert types == {"gateway": "NodePort", "digits": "ClusterIP", "mnist": "ClusterIP"}


def test_with_a_certificate_the_endpoint_is_https(program: Program) -> None:
    run = behind(program, tls=TLS)
    assert run.outputs["endpoint"]["digits"] == f"https://127.0.0.1:{NODE_PORT}"
    (volume,) = pod(run)["spec"]["volumes"]
    secrets = [one["secret"] for one in volume["projected"]["sources"] if "secret" in one]
    assert [one["name"] for one in secrets] == ["models-tls"]


def test_a_stack_has_no_gateway_unless_it_asks_for_one(dev: Run) -> None:
    assert "gateway" not in dev.of("Deployment")


def test_every_models_pods_are_found_by_their_headless_service(run: Run) -> None:
    text = config(run)
    assert "server-template pod 8 digits-pods.modelstack-dev.svc.cluster.local:8080 " in text
    assert "server-template pod 8 mnist-pods.modelstack-dev.svc.cluster.local:8080 " in text


def test_a_change_of_replicas_that_leaves_room_rolls_no_gateway(program: Program) -> None:
    def of(replicas: int) -> Run:
        model = {"recipe": "models/digits/recipe.yaml", "replicas": replicas}
        return program({"models": {"digits": model}, "gateway": {"enabled": True}})

    before, after, more = of(1), of(3), of(4)
    assert config(before) == config(after) != config(more)
    assert pod(before) == pod(after)


def test_a_cluster_may_have_another_domain(program: Program) -> None:
    assert "digits-pods.modelstack-dev.svc.k8s.example:8080" in config(behind(program, domain="k8s.example"))


def test_the_gateway_runs_the_image_of_the_list(run: Run) -> None:
    (container,) = pod(run)["spec"]["containers"]
    assert container["image"] == IMAGES["haproxy"]


def test_its_pods_are_restricted_and_hold_no_token(run: Run) -> None:
    spec = pod(run)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (65532, True)
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_rollout_takes_no_gateway_away_before_the_new_one_passes_requests(run: Run) -> None:
    spec = run.of("Deployment")["gateway"]["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]) == (2, {"maxUnavailable": 0, "maxSurge": 1})
    (container,) = spec["template"]["spec"]["containers"]
    assert container["startupProbe"]["httpGet"] == {"path": "/ready", "port": "metrics"}


def test_a_pod_outlives_its_pre_stop_and_its_drain(run: Run) -> None:
    spec = pod(run)["spec"]
    (container,) = spec["containers"]
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert wait + DRAIN_SECONDS < spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    "changed",
    [
        {"limit": {"requests": 5}},
        {"keys": {"alice": {"sha256": HASH}}},
        {"jwt": JWT},
        {"tls": TLS},
    ],
    ids=str,
)
def test_whatever_haproxy_reads_rolls_its_pods_when_it_changes(program: Program, run: Run, changed: Object) -> None:
    before = pod(run)["metadata"]["annotations"]
    assert pod(behind(program, **changed))["metadata"]["annotations"] != before


def test_a_new_key_rolls_the_pods_though_the_configuration_stays(program: Program) -> None:
    one = behind(program, keys={"alice": {"sha256": HASH}})
    two = behind(program, keys={"alice": {"sha256": HASH[::-1]}})
    assert config(one) == config(two)
    assert pod(one)["metadata"]["annotations"] != pod(two)["metadata"]["annotations"]


def test_keys_lie_in_a_secret_as_hashes_and_their_limits_beside_them(program: Program) -> None:
    run = behind(
        program, limit={"requests": 5}, keys={"alice": {"sha256": HASH, "requests": 50}, "bob": {"sha256": HASH}}
    )
    secret = run.of("Secret")["gateway-keys"]["data"]["value"]
    data = {name: base64.b64decode(text).decode() for name, text in secret.items()}
    assert data == {"names.map": f"{HASH} alice\n{HASH} bob\n", "limits.map": "alice 50\n"}
    assert HASH not in config(run)


def test_the_key_of_tokens_lies_beside_the_configuration(program: Program) -> None:
    run = behind(program, jwt=JWT)
    assert run.of("ConfigMap")["gateway"]["data"]["key.pem"] == KEY
    (volume,) = pod(run)["spec"]["volumes"]
    (source,) = volume["projected"]["sources"]
    assert {"key": "key.pem", "path": "jwt/key.pem"} in source["configMap"]["items"]


def test_the_gateway_reaches_names_and_models_alone(run: Run) -> None:
    names, servers = run.of("NetworkPolicy")["gateway"]["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    reached = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in servers["to"]]
    assert reached == ["digits", "mnist"]


def test_behind_a_gateway_models_are_reached_by_it_by_checks_and_by_prometheus_alone(run: Run, dev: Run) -> None:
    rules = run.of("NetworkPolicy")["digits"]["spec"]["ingress"]
    peers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for rule in rules for peer in rule["from"]]
    assert peers == ["gateway", "digits-check", "prometheus"]
    open_rule = dev.of("NetworkPolicy")["digits"]["spec"]["ingress"][0]
    assert {"ipBlock": {"cidr": "0.0.0.0/0"}} in open_rule["from"]


def test_prometheus_scrapes_every_gateway_and_takes_it_for_no_model(run: Run) -> None:
    jobs = yaml.safe_load(run.of("ConfigMap")["prometheus"]["data"]["prometheus.yml"])["scrape_configs"]
    (job,) = [one for one in jobs if one["job_name"] == "gateway"]
    assert job["dns_sd_configs"][0]["names"] == ["_metrics._tcp.gateway-pods"]
    assert "relabel_configs" not in job
    _, _, gateways = run.of("NetworkPolicy")["prometheus"]["spec"]["egress"]
    assert gateways["ports"] == [{"port": "metrics", "protocol": "TCP"}]


def test_every_object_of_the_gateway_carries_the_stacks_labels(run: Run) -> None:
    for one in run.objects():
        labels = one.inputs["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == labels["modelstack.dev/stack"] == "dev", one.name


@pytest.mark.parametrize(("cpu", "count"), [("500m", 1), ("1", 1), ("1500m", 2), ("4", 4), ("0.5", 1)])
def test_haproxy_has_a_thread_for_each_core_that_it_is_given(cpu: str, count: int) -> None:
    assert gateway.threads(cpu) == count
