"""Where a stack runs, and how its models are reached there."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest

from tests.components.conftest import MODELS, Program
from tests.components.programs import Run


def test_a_cluster_of_ones_own_needs_no_embedded_platform(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("")
    monkeypatch.setattr("components.place.connection_file", lambda _: tmp_path / "missing")
    run = program(
        {
            "models": MODELS,
            "cluster": {"kubeconfig": str(kubeconfig), "context": "prod"},
            "registry": {"push": "registry.example", "pull": "mirror.example"},
            "base": f"registry.example/base@sha256:{'a' * 64}",
        }
    )
    assert run.of("kubernetes")["cluster"]["context"] == "prod"
    assert run.outputs["endpoint"]["digits"] == "http://digits.modelstack-dev.svc:8080"
    assert run.outputs["models"]["digits"]["image"].startswith("mirror.example/modelstack/digits@sha256:")
    assert list(run.of("PinnedImage")) == ["prometheus"]


def test_a_third_party_image_of_the_settings_takes_the_platforms_place(program: Program) -> None:
    run = program({"models": MODELS, "images": {"prometheus": "registry.example/prometheus:1"}})
    assert run.of("PinnedImage")["prometheus"]["image"] == "registry.example/prometheus:1"


def test_an_image_that_the_platform_has_not_made_is_named_with_the_command_that_makes_it(program: Program) -> None:
    with pytest.raises(
        pulumi.RunError, match=r"^modelstack:images\.prometheus: [^\n]*`python -m local bake prometheus`"
    ):
        program({"models": MODELS}, baked=())


def test_what_no_stack_runs_need_not_be_made(program: Program) -> None:
    run = program({"models": MODELS, "monitoring": {"enabled": False}}, baked=())
    assert set(run.outputs["endpoint"]) == set(MODELS)


def test_a_docker_folder_without_credentials_is_refused(program: Program, tmp_path: Path) -> None:
    registry = {"push": "registry.example", "dockerConfig": str(tmp_path)}
    with pytest.raises(pulumi.RunError, match=r"^modelstack:registry\.dockerConfig: '[^']*' holds no config\.json; "):
        program({"models": MODELS, "registry": registry})


def test_a_load_balancers_address_is_the_endpoint(program: Program) -> None:
    run = program({"models": MODELS, "exposure": {"type": "LoadBalancer"}})
    assert run.outputs["endpoint"]["digits"] == "http://192.0.2.7:8080"


def test_a_load_balancer_leads_to_models_and_to_prometheus_where_that_is_asked_for(program: Program) -> None:
    exposure = {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}}
    run = program({"models": MODELS, "exposure": exposure})
    services = run.of("Service")
    assert services["digits"]["metadata"]["annotations"]["example.com/internal"] == "true"
    assert services["prometheus"]["spec"]["type"] == "ClusterIP"
    assert "example.com/internal" not in services["prometheus"]["metadata"]["annotations"]
    assert run.outputs["prometheus"] == "http://prometheus.modelstack-dev.svc:9090"
    exposed = program({"models": MODELS, "exposure": exposure, "monitoring": {"exposed": True}})
    assert exposed.of("Service")["prometheus"]["spec"]["type"] == "LoadBalancer"
    assert exposed.outputs["prometheus"] == "http://192.0.2.7:9090"


def test_a_load_balancer_is_for_the_networks_and_with_the_annotations_of_the_settings(program: Program) -> None:
    more = {"annotations": {"example.com/internal": "true"}, "allow": {"cidrs": ["10.0.0.0/8"]}}
    services = program({"models": MODELS, "exposure": {"type": "LoadBalancer", **more}}).of("Service")
    balanced = {name: one for name, one in services.items() if one["spec"].get("type") == "LoadBalancer"}
    assert set(balanced) == {"digits", "mnist"}
    for one in balanced.values():
        assert one["metadata"]["annotations"]["example.com/internal"] == "true"
        assert one["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]


def test_a_load_balancer_without_an_address_yet_is_told_in_a_preview(program: Program) -> None:
    run = program({"models": MODELS, "exposure": {"type": "LoadBalancer"}}, ingress=[], preview=True)
    assert run.outputs["endpoint"]["digits"] == "http://no-address-yet:8080"


def test_a_wrong_setting_stops_the_program_with_one_line(program: Program) -> None:
    with pytest.raises(pulumi.RunError, match=r"^Pulumi\.dev\.yaml: modelstack:models\.digits\.replicas: 0: [^\n]*$"):
        program({"models": {"digits": {**MODELS["digits"], "replicas": 0}}})


def test_an_engine_of_another_version_is_refused(dev: Run) -> None:
    assert dev.versions == [">=3.259.0 <4.0.0"]
