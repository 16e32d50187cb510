"""What a stack asks for, as a real API server takes it: every object, and a pod of every kind, in a dry run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from tests.components.flows import Pod, pods_of
from tests.components.programs import Object, Run, stack_of
from tests.components.test_kserve import CASES as KSERVED
from tests.components.test_kserve import by_kserve
from tests.components.test_scaling import BAKED
from tests.components.test_serving import BASE, written
from tests.components.test_workloads import everything
from tests.model_build.served import CASES, Case
from tests.provider.clusters import Kubectl, know

pytestmark = pytest.mark.e2e
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.4.0"
GATEWAY_API_SUM = "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ="
SECRET = "4dabf18193072939515e22adb298388d"  # pragma: allowlist secret (the SDK's mark of one)
ARGO = "argoproj.io/v1alpha1"  # whose kinds this API server need not have


@pytest.fixture
def namespace(kubectl: Kubectl) -> str:
    """Return a namespace that admits restricted pods alone, as a stack's does."""
    modes = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")]
    kubectl.run("label", "namespace", kubectl.namespace, *modes)
    return kubectl.namespace


@pytest.fixture
def http_routes(kubectl: Kubectl, tmp_path: Path) -> Iterator[None]:
    """Have the API server know HTTPRoute, by the definition that its project publishes."""
    command = ["go", "mod", "download", "-json", GATEWAY_API]
    told = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert told["Sum"] == GATEWAY_API_SUM
    definition = Path(told["Dir"]) / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    know(kubectl, definition)
    yield
    kubectl.run("delete", "--wait=false", "--filename", str(definition))


def plain(value: object) -> object:
    """Return what the provider would send: no nulls, secrets as they are, whole numbers as such."""
    if isinstance(value, dict):
        inner = value["value"] if SECRET in value else value
        return {key: plain(one) for key, one in inner.items() if one is not None}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def objects(run: Run) -> list[Object]:
    """Return the objects of the cluster, without those of Argo's kinds."""
    return [one.inputs for one in run.objects() if one.inputs.get("apiVersion") not in (None, ARGO)]


def as_pod(pod: Pod, namespace: str) -> Object:
    metadata = {"name": pod.name, "namespace": namespace, "labels": pod.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod.spec}


def tried(kubectl: Kubectl, found: list[Object]) -> tuple[set[str], str]:
    """Send objects in a dry run; returns what was taken, and what the API server warned of or refused."""
    document = json.dumps(plain({"apiVersion": "v1", "kind": "List", "items": found}))
    asked = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-", "--output=name"]
    command = [kubectl.program, "kubectl", *asked, "--kubeconfig", kubectl.kubeconfig]
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=False)
    return set(done.stdout.split()), done.stderr


def told_of(pods: list[Pod]) -> set[str]:
    return {f"pod/{pod.name}" for pod in pods}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_workload_of_every_server_is_admitted(
    kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: Case
) -> None:
    own = case.name.startswith("onnxruntime")
    model = {"recipe": written(tmp_path, case), "replicas": 2, "base": None if own else BASE}
    run = stack_of(monkeypatch, tmp_path, {"models": {"digits": model}, "namespace": namespace})
    pods = pods_of(run)
    taken, refused = tried(kubectl, [*objects(run), *(as_pod(pod, namespace) for pod in pods)])
    assert refused == ""
    assert taken >= {"deployment.apps/digits", "pod/digits", "networkpolicy.networking.k8s.io/digits"}


def test_every_object_and_pod_of_a_stack_with_everything_in_it_is_admitted(
    kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = everything(tmp_path)
    config["models"]["digits"]["priority"] = namespace
    run = stack_of(monkeypatch, tmp_path, {**config, "namespace": namespace}, baked=BAKED)
    found, pods = objects(run), pods_of(run)
    known = [one for one in found if one["kind"] == "ServiceAccount"]
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": namespace}}
    for one in (*known, {**priority, "value": 1000}):
        kubectl.run("create", "--filename=-", stdin=json.dumps(one))
    try:
        taken, refused = tried(kubectl, [*found, *(as_pod(pod, namespace) for pod in pods)])
    finally:
        kubectl.run("delete", "priorityclass", namespace)
    assert refused == ""
    assert taken >= {"ingress.networking.k8s.io/entry", "horizontalpodautoscaler.autoscaling/text", *told_of(pods)}
    assert len(taken) == len(found) + len(told_of(pods))


def test_a_pod_that_is_not_restricted_is_refused(
    kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = stack_of(monkeypatch, tmp_path, {"models": {"digits": {"recipe": written(tmp_path, CASES[0])}}})
    (pod,) = [one for one in pods_of(run) if one.name == "digits"]
    del pod.spec["securityContext"]["seccompProfile"]
    taken, refused = tried(kubectl, [as_pod(pod, namespace)])
    assert taken == set()
    assert "violates PodSecurity" in refused
    assert "seccompProfile" in refused


@pytest.mark.usefixtures("http_routes")
def test_http_routes_are_taken_and_waited_for_as_the_kinds_own_definition_has_them(
    kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parent = {"name": "public", "namespace": "gateways", "sectionName": "web"}
    exposure = {"type": "HTTPRoute", "host": "models.example.com", "parent": parent}
    (case,) = [one for one in CASES if one.name == "tensorflow-serving"]  # which has paths of both kinds
    model = {"recipe": written(tmp_path, case), "base": BASE}
    run = stack_of(monkeypatch, tmp_path, {"models": {"digits": model}, "exposure": exposure, "namespace": namespace})
    (route,) = [one for one in objects(run) if one["kind"] == "HTTPRoute"]
    kubectl.apply(plain(route))  # type: ignore[arg-type]  # a mapping stays one
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    state = {"controllerName": "example.com/none", "parentRef": parent}
    conditions = [{**accepted, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    waiting = ["wait", "httproute/digits", "-n", namespace, "--timeout=5s"]
    awaited = "--for=" + route["metadata"]["annotations"]["pulumi.com/waitFor"]
    kubectl.status("httproute", "digits", {"parents": [{**state, "conditions": conditions}]})
    assert "condition met" in kubectl.run(*waiting, awaited)
    live = yaml.safe_load(kubectl.run("get", "httproute", "digits", "-n", namespace, "-o", "yaml"))
    assert [one["path"] for one in live["spec"]["rules"][0]["matches"]] == [
        {"type": "PathPrefix", "value": "/v1/models/digits"},
        *({"type": "Exact", "value": f"/v1/models/digits:{verb}"} for verb in ("predict", "classify", "regress")),
    ]
    route["spec"]["rules"][0]["backendRefs"][0]["port"] = 0
    assert "port" in tried(kubectl, [route])[1]


@pytest.mark.usefixtures("inference_services")
@pytest.mark.parametrize("case", KSERVED)
def test_an_inference_service_and_the_pods_that_it_asks_for_are_admitted(
    kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str
) -> None:
    run = stack_of(monkeypatch, tmp_path, {**by_kserve(tmp_path, case), "namespace": namespace})
    found, pods = objects(run), pods_of(run)
    assert {pod.name for pod in pods} >= {"digits", *(["digits-worker"] if case == "vllm-over-nodes" else [])}
    taken, refused = tried(kubectl, [*found, *(as_pod(pod, namespace) for pod in pods)])
    assert refused == ""
    assert taken >= {"inferenceservice.serving.kserve.io/digits", "service/digits-pods", *told_of(pods)}
    assert len(taken) == len(found) + len(pods)


def strictly(kubectl: Kubectl, service: Object) -> str:
    """Send an InferenceService past kubectl's own checks in a dry run; returns what the API server says."""
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{kubectl.namespace}/inferenceservices"
    asked = ["create", "--raw", f"{path}?dryRun=All&fieldValidation=Strict", "--filename=-"]
    command = [kubectl.program, "kubectl", *asked, "--kubeconfig", kubectl.kubeconfig]
    document = json.dumps(plain(service))
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.usefixtures("inference_services")
def test_a_field_that_no_inference_service_has_is_refused(
    kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = stack_of(monkeypatch, tmp_path, {**by_kserve(tmp_path, "vllm-over-nodes"), "namespace": namespace})
    (service,) = [one for one in objects(run) if one["kind"] == "InferenceService"]
    assert json.loads(strictly(kubectl, service))["metadata"]["name"] == "digits"
    for room, key, value, reason in (
        ("model", "storageURI", "oci://a", 'unknown field "spec.predictor.model.storageURI"'),
        ("model", "modelFormat", {}, "spec.predictor.model.modelFormat.name: Required value"),
        ("workerSpec", "tensorParallelSize", "4", "spec.predictor.workerSpec.tensorParallelSize: Invalid value"),
        ("workerSpec", "gpus", 4, 'unknown field "spec.predictor.workerSpec.gpus"'),
    ):
        wrong = deepcopy(service)
        wrong["spec"]["predictor"][room][key] = value
        assert reason in strictly(kubectl, wrong)
