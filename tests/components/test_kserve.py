"""Models that KServe serves: the InferenceService of each, what leads to its pods, and who waits for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.components.conftest import Program
from tests.components.flows import flows
from tests.components.programs import Object, Run, hexadecimal
from tests.components.test_rollouts import custom
from tests.components.test_scaling import BAKED
from tests.components.test_serving import BASE, NAMED, written
from tests.model_build.served import WEIGHTS, Case

GOLDEN = Path(__file__).with_name("golden") / "kserve"
Serving = Callable[..., Run]
STAGED = "{name: vllm, tensor_parallel: 2, pipeline_parallel: 3, max_model_len: 8192, dtype: bfloat16}"
RECIPES = {**NAMED, "vllm-stages": Case("vllm", STAGED, WEIGHTS, "volume")}
# The file of what is expected → the recipe, and what the stack says of it.
CASES: dict[str, tuple[str, Object]] = {
    "triton": ("kserve", {}),
    "vllm": ("vllm", {}),
    "vllm-over-nodes": ("vllm", {"nodes": 2}),
    "vllm-stages": ("vllm-stages", {}),
    "vllm-stages-over-nodes": ("vllm-stages", {"nodes": 3}),
}


def by_kserve(folder: Path, case: str, **model: object) -> Object:
    """Return a configuration whose one model, digits, is served by KServe."""
    recipe, serve = CASES[case]
    asked = {"recipe": written(folder, RECIPES[recipe]), "base": BASE, "serve": {"by": "kserve", **serve}, **model}
    return {"models": {"digits": asked}, "kserve": {"installed": True}}


@pytest.fixture
def serving(program: Program, tmp_path: Path) -> Serving:
    """Return a run of the program with one model that KServe serves."""

    def run(case: str, others: Object | None = None, inputs: Object | None = None, **model: object) -> Run:
        return program({**by_kserve(tmp_path, case, **model), **(others or {})}, inputs=inputs, baked=BAKED)

    return run


def inference_service(run: Run) -> Object:
    (found,) = custom(run, "InferenceService").values()
    return found


def predictor(run: Run) -> Object:
    return dict(inference_service(run)["spec"]["predictor"])


def mark(run: Run) -> str:
    return str(predictor(run)["annotations"]["modelstack.dev/wanted"])


@pytest.mark.parametrize("case", CASES)
def test_the_object_is_as_expected_to_the_last_field(serving: Serving, case: str) -> None:
    assert inference_service(serving(case)) == yaml.safe_load((GOLDEN / f"{case}.yaml").read_text())


@pytest.mark.parametrize("case", CASES)
def test_the_stack_makes_no_pods_beside_kserves(serving: Serving, case: str) -> None:
    run = serving(case)
    assert run.of("Deployment") == {}
    assert custom(run, "Rollout") == {}
    assert run.of("SmokeTest") == {}


@pytest.mark.parametrize("case", CASES)
def test_model_and_server_are_named_by_digest(serving: Serving, case: str) -> None:
    model = predictor(serving(case))["model"]
    assert model["image"] == BASE
    _, _, image = model["storageUri"].partition("://")
    assert image == f"127.0.0.1:7401/modelstack/digits@sha256:{hexadecimal(hexadecimal('digits'))}"


def test_kserves_runtime_is_the_clusters_choice_where_the_stack_names_it(serving: Serving) -> None:
    found = predictor(serving("triton", serve={"by": "kserve", "runtime": "triton-of-ours"}))
    assert found["model"]["runtime"] == "triton-of-ours"


def test_the_gpus_of_a_replica_are_shared_by_its_nodes(serving: Serving) -> None:
    found = predictor(serving("vllm-over-nodes"))
    (worker,) = found["workerSpec"]["containers"]
    for resources in (found["model"]["resources"], worker["resources"]):
        # KServe counts workers by what one requests, before Kubernetes fills in what is limited.
        assert [resources[kind]["nvidia.com/gpu"] for kind in ("requests", "limits")] == ["2", "2"]
    assert (found["workerSpec"]["tensorParallelSize"], found["workerSpec"]["pipelineParallelSize"]) == (4, 1)


def test_each_node_has_the_gpus_of_a_stage(serving: Serving) -> None:
    found = predictor(serving("vllm-stages-over-nodes"))
    (worker,) = found["workerSpec"]["containers"]
    for resources in (found["model"]["resources"], worker["resources"]):
        assert [resources[kind]["nvidia.com/gpu"] for kind in ("requests", "limits")] == ["2", "2"]
    # KServe makes as many pods as these two need of one's GPUs, and tells vLLM both.
    assert (found["workerSpec"]["tensorParallelSize"], found["workerSpec"]["pipelineParallelSize"]) == (2, 3)
    assert not [one for one in found["model"]["args"] if "parallel" in one]


def test_in_one_pod_the_server_itself_is_told_of_the_stages(serving: Serving) -> None:
    model = predictor(serving("vllm-stages"))["model"]
    assert {"--tensor-parallel-size=2", "--pipeline-parallel-size=3"} <= set(model["args"])
    assert model["resources"]["limits"]["nvidia.com/gpu"] == "6"


def test_endpoint_and_metrics_are_found_by_the_stacks_own_services(serving: Serving) -> None:
    run = serving("triton")
    assert run.outputs["endpoint"] == {"digits": "http://127.0.0.1:7555"}
    selector = {"app.kubernetes.io/name": "digits", "app.kubernetes.io/instance": "dev"}
    assert {name: run.of("Service")[name]["spec"]["selector"] for name in ("digits", "digits-pods")} == dict.fromkeys(
        ("digits", "digits-pods"), selector
    )
    assert selector.items() <= inference_service(run)["metadata"]["labels"].items()
    (job, _) = yaml.safe_load(run.of("ConfigMap")["prometheus"]["data"]["prometheus.yml"])["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"] == ["_metrics._tcp.digits-pods"]


def test_over_nodes_the_head_alone_is_asked(serving: Serving) -> None:
    run = serving("vllm-over-nodes")
    for name in ("digits", "digits-pods"):
        assert run.of("Service")[name]["spec"]["selector"]["app"] == "isvc.digits-predictor"
        (port,) = run.of("Service")[name]["spec"]["ports"]
        assert port["port"] == 8080


def test_over_nodes_head_and_workers_reach_each_other_and_nobody_else(serving: Serving) -> None:
    alone, several = (flows(serving(case)) for case in ("vllm", "vllm-over-nodes"))
    beside = {flow for flow in several - alone if "digits" in flow.partition(" -> ")[0]}
    assert beside == {
        *(f"digits{one} -> digits:http" for one in ("", "-worker")),
        *(f"digits{one} -> anyone:53" for one in ("", "-worker")),
    }
    assert not {flow for flow in alone if flow.startswith("digits")}


@pytest.mark.parametrize("case", CASES)
def test_a_gateway_finds_kserves_pods_as_it_finds_any(serving: Serving, case: str) -> None:
    config = serving(case, {"gateway": {"enabled": True}}).of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]
    assert "digits-pods." in config


def test_a_route_leads_to_the_port_that_kserves_pods_have(serving: Serving) -> None:
    run = serving("vllm", {"exposure": {"type": "Ingress", "host": "models.example.com"}})
    (rule,) = run.of("Ingress")["entry"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "digits", "port": {"number": 8080}}
    assert run.of("Service")["digits"]["spec"]["ports"][0]["port"] == 8080


def test_up_waits_for_the_pods_that_carry_the_mark(serving: Serving) -> None:
    run = serving("triton", replicas=3, rolloutSeconds=40)
    waited = run.of("Readiness")["digits"]
    assert (waited["service"], waited["wanted"]) == ("digits", mark(run))
    assert (waited["replicas"], waited["seconds"]) == (3, 40)


def test_another_version_is_another_mark_and_another_number_of_pods_is_not(serving: Serving) -> None:
    two, more = serving("triton", replicas=2), serving("triton", replicas=3)
    assert mark(two) == mark(more)
    assert [predictor(run)["minReplicas"] for run in (two, more)] == [2, 3]
    assert mark(serving("triton", replicas=2, inputs={"digits": "0" * 64})) != mark(two)
    assert mark(serving("triton", replicas=2, resources={"cpuLimit": "2"})) != mark(two)


def test_a_scaled_model_is_scaled_as_any_and_kserve_makes_no_autoscaler(serving: Serving) -> None:
    run = serving("triton", scale={"min": 2, "max": 5, "cpu": 70})
    found = run.of("HorizontalPodAutoscaler")["digits"]["spec"]
    assert found["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "digits-predictor"}
    assert inference_service(run)["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"
    assert [predictor(run)[key] for key in ("minReplicas", "maxReplicas")] == [2, 5]
    assert run.of("Readiness")["digits"]["replicas"] == 0
