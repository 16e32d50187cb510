"""What serves a model: ports, probes, GPUs and volumes as the server of its recipe wants them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.components.conftest import Program
from tests.components.programs import NODE_PORT, Object, Run, hexadecimal
from tests.model_build.served import CASES, Case

NAMED = {case.name: case for case in CASES}
BASE = f"registry.example/server@sha256:{'d' * 64}"


@pytest.fixture
def serving(program: Program, tmp_path: Path) -> object:
    """Return a run of the program with one model, digits, whose recipe is the case's."""

    def run(name: str, base: str | None = BASE) -> Run:
        return program({"models": {"digits": {"recipe": written(tmp_path, NAMED[name]), "base": base}}})

    return run


def written(folder: Path, case: Case) -> str:
    """Write the case's recipe beside empty files of what it names."""
    for file in ("model.py", "data.py"):
        (folder / file).write_text("")
    for weights in ("saved", "weights"):
        (folder / weights).mkdir(exist_ok=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"version: 1{case.recipe}runtime: {case.runtime}\npackaging: {case.packaging}\n")
    return str(recipe)


def pod(run: Run) -> Object:
    found: Object = run.of("Deployment")["digits"]["spec"]["template"]["spec"]
    return found


def container(run: Run) -> Object:
    (found,) = pod(run)["containers"]
    return dict(found)


def test_weights_alone_are_a_volume_of_the_runtime_image_and_both_are_named_by_digest(serving: Program) -> None:
    run = serving("triton-gpu")
    assert container(run)["image"] == BASE
    (volume,) = [one["image"] for one in pod(run)["volumes"] if "image" in one]
    assert volume == {
        "reference": f"127.0.0.1:7401/modelstack/digits@sha256:{hexadecimal(hexadecimal('digits'))}",
        "pullPolicy": "IfNotPresent",
    }


def test_of_a_models_image_its_folder_of_models_is_mounted_where_the_server_looks(serving: Program) -> None:
    roots = {"triton-gpu": "/models", "kserve": "/mnt/models"}
    for name, root in roots.items():
        (mount,) = [one for one in container(serving(name))["volumeMounts"] if one["name"] == "model"]
        assert mount == {"name": "model", "mountPath": root, "subPath": "models", "readOnly": True}


def test_a_runtime_image_of_ours_is_the_one_that_the_build_pushed(serving: Program) -> None:
    found = container(serving("onnxruntime-gpu", None))
    assert found["image"] == f"127.0.0.1:7401/modelstack/digits@sha256:{hexadecimal('runtime')}"


def test_a_runtime_image_is_told_how_to_start_on_the_volume(serving: Program) -> None:
    found = container(serving("vllm"))
    assert found["command"][:3] == ["vllm", "serve", "/models/digits"]
    assert "--tensor-parallel-size=4" in found["command"]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in found["env"]


def test_a_baked_image_says_itself_how_it_starts(serving: Program) -> None:
    found = container(serving("triton"))
    assert (found.get("command"), found.get("env")) == (None, None)
    assert [one["name"] for one in found["volumeMounts"]] == ["tmp"]
    assert found["image"].startswith("127.0.0.1:7401/modelstack/digits@sha256:")


@pytest.mark.parametrize(("name", "gpus"), [("triton", None), ("triton-gpu", "1"), ("vllm", "4")])
def test_a_replica_is_given_the_gpus_that_its_server_is_started_for(
    serving: Program, name: str, gpus: str | None
) -> None:
    assert container(serving(name))["resources"]["limits"].get("nvidia.com/gpu") == gpus


def test_layers_that_gpus_share_meet_in_memory_of_the_pods_own(serving: Program) -> None:
    run = serving("vllm")
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}} in pod(run)["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in container(run)["volumeMounts"]  # noqa: S108


@pytest.mark.parametrize(
    ("name", "ports", "ready"),
    [
        ("triton", {"http": 8000, "grpc": 8001, "metrics": 8002}, "/v2/health/ready"),
        ("tensorflow-serving", {"http": 8501, "grpc": 8500}, "/v1/models/digits"),
        ("torchserve", {"http": 8080, "metrics": 8082}, "/ping"),
    ],
)
def test_ports_and_probes_are_the_servers(serving: Program, name: str, ports: dict[str, int], ready: str) -> None:
    run = serving(name)
    found = container(run)
    assert {one["name"]: one["containerPort"] for one in found["ports"]} == ports
    assert found["readinessProbe"]["httpGet"] == {"path": ready, "port": "http"}
    headless = run.of("Service")["digits-pods"]["spec"]["ports"]
    assert {one["name"]: one["port"] for one in headless} == ports
    asked, scraped = run.of("NetworkPolicy")["digits"]["spec"]["ingress"]
    assert [one["port"] for one in asked["ports"]] == sorted({*ports} - {"metrics"})
    assert [one["port"] for one in scraped["ports"]] == ["metrics" if "metrics" in ports else "http"]


@pytest.mark.parametrize(
    ("name", "port", "path"),
    [
        ("triton", "metrics", "/metrics"),
        ("tensorflow-serving", "http", "/monitoring/prometheus/metrics"),
        ("vllm", "http", "/metrics"),
    ],
)
def test_prometheus_scrapes_the_port_and_path_of_the_server(serving: Program, name: str, port: str, path: str) -> None:
    run = serving(name)
    (job, _) = yaml.safe_load(run.of("ConfigMap")["prometheus"]["data"]["prometheus.yml"])["scrape_configs"]
    assert (job["dns_sd_configs"][0]["names"], job["metrics_path"]) == ([f"_{port}._tcp.digits-pods"], path)
    _, servers = run.of("NetworkPolicy")["prometheus"]["spec"]["egress"]
    assert [one["port"] for one in servers["ports"]] == [port]


def test_the_service_is_reached_on_the_servers_ports_and_its_series_are_not(serving: Program) -> None:
    run = serving("triton")
    ports = {port["name"]: (port["port"], port["targetPort"]) for port in run.of("Service")["digits"]["spec"]["ports"]}
    assert ports == {"http": (8000, "http"), "grpc": (8001, "grpc")}
    assert run.outputs["endpoint"]["digits"] == f"http://127.0.0.1:{NODE_PORT}"


def test_a_servers_own_image_by_tag_is_pinned(serving: Program) -> None:
    run = serving("triton", "registry.example/server:26.08")
    assert run.of("PinnedImage")["digits-base"]["image"] == "registry.example/server:26.08"
    assert run.of("ModelImage")["digits"]["base"].startswith("registry.example/server:26.08@sha256:")
