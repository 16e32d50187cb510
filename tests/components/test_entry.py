"""One name that leads to all models: an Ingress, or HTTPRoutes, and what else changes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.entry import ACCEPTED, Way, paths, ways
from local.plugins.kubernetes import jsonpath
from tests.components.conftest import MODELS, Program
from tests.components.programs import Object, Run
from tests.components.test_serving import BASE, NAMED, written

HOST = "models.example.com"
INGRESS: Object = {"type": "Ingress", "host": HOST}
TLS: Object = {"tlsSecret": "models-tls"}  # pragma: allowlist secret
PARENT = {"name": "public", "namespace": "gateways", "sectionName": "web"}
ROUTE: Object = {"type": "HTTPRoute", "host": HOST, "parent": PARENT}


def led(program: Program, exposure: Object, **config: Any) -> Run:
    return program({"models": MODELS, "exposure": exposure, **config})


def ingress(run: Run) -> Object:
    (found,) = run.of("Ingress").values()
    return found


def routes(run: Run) -> dict[str, Object]:
    return {one.name: one.inputs for one in run.made if one.inputs.get("kind") == "HTTPRoute"}


def test_an_ingress_leads_to_every_models_service_by_its_path(program: Program) -> None:
    (rule,) = ingress(led(program, INGRESS))["spec"]["rules"]
    assert rule["host"] == HOST
    assert rule["http"]["paths"] == [
        {
            "path": f"/v2/models/{model}",
            "pathType": "Prefix",
            "backend": {"service": {"name": model, "port": {"number": 8080}}},
        }
        for model in ("digits", "mnist")
    ]


def test_class_certificate_and_annotations_are_the_settings(program: Program) -> None:
    more = {"className": "nginx", "annotations": {"example.com/size": "8m"}}
    found = ingress(led(program, {**INGRESS, **TLS, **more}))
    assert found["metadata"]["annotations"] == {"example.com/size": "8m"}
    assert found["spec"]["ingressClassName"] == "nginx"
    assert found["spec"]["tls"] == [{"hosts": [HOST], "secretName": "models-tls"}]  # pragma: allowlist secret


def test_that_tls_is_ended_before_a_route_is_written_on_it(program: Program) -> None:
    told = {"modelstack.dev/https": "true"}
    assert ingress(led(program, {**INGRESS, "https": True}))["metadata"]["annotations"] == told
    for one in routes(led(program, {**ROUTE, "https": True})).values():
        assert one["metadata"]["annotations"] == {**ACCEPTED, **told}
    for one in routes(led(program, ROUTE)).values():
        assert one["metadata"]["annotations"] == ACCEPTED


def test_before_a_gateway_every_path_leads_to_it(program: Program) -> None:
    gateway = {"enabled": True}
    (rule,) = ingress(led(program, INGRESS, gateway=gateway))["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = {"name": "gateway", "port": {"number": 8080}}
    assert path == {"path": "/", "pathType": "Prefix", "backend": {"service": service}}
    (name, route), *others = routes(led(program, ROUTE, gateway=gateway)).items()
    assert (name, others) == ("gateway", [])
    matches = [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert route["spec"]["rules"] == [{"matches": matches, "backendRefs": [{"name": "gateway", "port": 8080}]}]


def test_a_route_a_model_asks_the_gateway_that_is_named(program: Program) -> None:
    found = routes(led(program, ROUTE))
    assert set(found) == {"digits", "mnist"}
    spec = found["digits"]["spec"]
    assert (found["digits"]["apiVersion"], found["digits"]["metadata"]["namespace"]) == (
        "gateway.networking.k8s.io/v1",
        "modelstack-dev",
    )
    assert (spec["parentRefs"], spec["hostnames"]) == ([PARENT], [HOST])
    assert spec["rules"] == [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}],
            "backendRefs": [{"name": "digits", "port": 8080}],
        }
    ]


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False)])
def test_up_waits_until_the_gateway_has_taken_the_route(status: str, ready: bool) -> None:
    conditions = [{"type": "ResolvedRefs", "status": "True"}, {"type": "Accepted", "status": status}]
    expression = jsonpath.parse(ACCEPTED["pulumi.com/waitFor"])
    assert expression.matches({"status": {"parents": [{"conditions": conditions}]}}) is ready
    assert not expression.matches({})


@pytest.mark.parametrize(
    ("exposure", "url"),
    [
        (INGRESS, f"http://{HOST}"),
        ({**INGRESS, **TLS}, f"https://{HOST}"),
        ({**INGRESS, "https": True}, f"https://{HOST}"),
        (ROUTE, f"http://{HOST}"),
        ({**ROUTE, "https": True}, f"https://{HOST}"),
    ],
    ids=str,
)
def test_the_host_is_the_endpoint_of_every_model(program: Program, exposure: Object, url: str) -> None:
    assert led(program, exposure).outputs["endpoint"] == {"digits": url, "mnist": url}


def test_where_a_route_leads_no_service_is_open_and_prometheus_stays_inside(program: Program) -> None:
    run = led(program, INGRESS)
    types = {one["spec"].get("type") for one in run.of("Service").values()}
    assert types == {"ClusterIP", None}
    assert run.outputs["prometheus"] == "http://prometheus.modelstack-dev.svc:9090"


def test_a_route_comes_after_the_services_that_it_leads_to(program: Program) -> None:
    run = led(program, INGRESS)
    order = [(one.type.rpartition(":")[2], one.name) for one in run.made]
    assert max(order.index(("Service", model)) for model in MODELS) < order.index(("Ingress", "entry"))


def test_without_a_route_there_is_none(dev: Run) -> None:
    assert (dev.of("Ingress"), routes(dev)) == ({}, {})


def test_paths_are_those_of_the_servers_protocol() -> None:
    told = {"protocol": "tensorflow-v1", "ports": {"http": 8501.0}}
    (way,) = ways({"digits": told})
    assert (way.service, way.port) == ("digits", 8501)
    found = [(path.value, path.below) for path in way.paths]
    verbs = ("predict", "classify", "regress")
    assert found == [("/v1/models/digits", True), *((f"/v1/models/digits:{verb}", False) for verb in verbs)]
    assert [path.value for path in paths("llama", "openai-v1")] == ["/v1"]
    assert all(isinstance(one, Way) for one in ways({"gateway": None}))


def test_two_models_that_no_path_tells_apart_are_refused_without_a_gateway(program: Program, tmp_path: Path) -> None:
    models: dict[str, Object] = {}
    for name in ("alpaca", "llama"):
        folder = tmp_path / name
        folder.mkdir()
        recipe = Path(written(folder, NAMED["vllm"]))
        recipe.write_text(recipe.read_text().replace("name: digits", f"name: {name}"))
        models[name] = {"recipe": str(recipe), "base": BASE}
    with pytest.raises(Exception, match=r"exposure\.type: 'Ingress' tells models apart by path, clients of alpaca and"):
        program({"models": models, "exposure": INGRESS})
    run = program({"models": models, "exposure": INGRESS, "gateway": {"enabled": True}})
    assert set(run.outputs["endpoint"]) == {"alpaca", "llama"}
