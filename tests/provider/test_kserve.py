"""A stack's InferenceServices under KServe's own controller and webhooks; a stand-in answers for Triton."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import grpc
import pytest

from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.pull import pull_base
from model_build.oci.push import push
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from tests.components.programs import Object, stack_of
from tests.components.test_kserve import by_kserve
from tests.conftest import Platform
from tests.provider import kserve
from tests.provider.clusters import Kubectl
from tests.provider.conftest import Provider
from tests.provider.test_admission import objects, plain
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.soak]
# Ready where the model lies where KServe's runtime says; it tells whoever asks what it was started with.
SERVER = b"""#!/usr/bin/python3.11
import http.server, json, pathlib, sys
told = dict(one.removeprefix("--").partition("=")[::2] for one in sys.argv[1:])
root = pathlib.Path(told["model-store"])
files = sorted(str(one.relative_to(root)) for one in root.rglob("*") if one.is_file())

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if files else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"told": told, "files": files}).encode())

http.server.ThreadingHTTPServer(("0.0.0.0", int(told["http-port"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def controller(platform: Platform, administrator: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """KServe on the platform."""
    with kserve.running(administrator, platform.environment, tmp_path_factory.mktemp("kserve")):
        yield


@pytest.fixture(scope="module")
def images(platform: Platform) -> tuple[str, str]:
    """The server's image and the model's, by digest."""
    host = platform.connection.registry.push
    base = pull_base(Registry(host), Reference.parse(platform.connection.images["base"]), "linux/amd64")
    server = Image("linux/amd64", (entries_layer([Entry("usr/bin/tritonserver", SERVER, mode=0o755)]),), base=base)
    files = [Entry.folder("models"), Entry.folder("models/digits"), Entry("models/digits/config.pbtxt", b"name")]
    model = Image("linux/amd64", (entries_layer(files),), ImageConfig())
    made = {
        name: push(one, Registry(host), f"tests/{name}") for name, one in {"served": server, "model": model}.items()
    }
    return f"{host}/tests/served@{made['served']}", f"{host}/tests/model@{made['model']}"


@pytest.fixture
def namespace(kubectl: Kubectl) -> str:
    """Return a namespace that admits restricted pods alone, as a stack's does."""
    modes = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")]
    kubectl.run("label", "namespace", kubectl.namespace, *modes)
    return kubectl.namespace


def made(folder: Path, namespace: str, case: str, images: tuple[str, str]) -> dict[str, Object]:
    """Return a stack's InferenceService and Service, of images that are there."""
    server, model = images
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = stack_of(monkeypatch, folder, {**by_kserve(folder, case, base=server), "namespace": namespace})
    named = [one for one in objects(run) if one["metadata"]["name"] == "digits"]
    found: dict[str, Any] = {one["kind"]: plain(one) for one in named}
    told = found["InferenceService"]["spec"]["predictor"]["model"]
    told["storageUri"] = f"{told['storageUri'].partition('://')[0]}://{model}"
    return found


def waited(kubectl: Kubectl, service: Object, seconds: int = 120) -> Object:
    """Return the inputs of a Readiness."""
    where = {"kubeconfig": kubectl.kubeconfig, "namespace": kubectl.namespace, "service": "digits"}
    wanted = service["spec"]["predictor"]["annotations"]["modelstack.dev/wanted"]
    return {**where, "wanted": wanted, "replicas": service["spec"]["predictor"]["minReplicas"], "seconds": seconds}


def marked(service: Object, mark: str, **model: object) -> Object:
    """Return another version of an InferenceService."""
    other = deepcopy(service)
    other["spec"]["predictor"]["annotations"]["modelstack.dev/wanted"] = mark
    other["spec"]["predictor"]["model"] |= model
    return other


def answer(kubectl: Kubectl) -> Object:
    """Return what the Service of the stack answers at its node port."""
    port = kubectl.run("get", "service", "digits", "-n", kubectl.namespace, "-o=jsonpath={.spec.ports[0].nodePort}")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answered:
        found: Object = json.load(answered)
    return found


@pytest.mark.usefixtures("controller")
def test_kserve_serves_the_model_of_an_image_volume_and_up_goes_on_when_it_does(
    provider: Provider, kubectl: Kubectl, namespace: str, tmp_path: Path, images: tuple[str, str]
) -> None:
    found = made(tmp_path, namespace, "triton", images)
    kserve.apply(kubectl, [*found.values()])
    provider.of("Readiness").create(waited(kubectl, found["InferenceService"]))
    said = answer(kubectl)
    assert said["files"] == ["digits/config.pbtxt"]
    assert said["told"]["metrics-port"] == "8002"  # of the recipe's server, beside what KServe's runtime says itself
    (pod,) = json.loads(kubectl.run("get", "pods", "-n", namespace, "-o=json"))["items"]
    assert [one["image"]["reference"] for one in pod["spec"]["volumes"] if "image" in one] == [images[1]]
    assert len(pod["spec"]["containers"]) == 1


@pytest.mark.usefixtures("controller")
def test_a_version_that_does_not_get_ready_fails_with_its_reason_and_the_one_before_serves_on(
    provider: Provider, kubectl: Kubectl, namespace: str, tmp_path: Path, images: tuple[str, str]
) -> None:
    found = made(tmp_path, namespace, "triton", images)
    service, readiness = found["InferenceService"], provider.of("Readiness")
    kserve.apply(kubectl, [*found.values()])
    _, state = readiness.create(waited(kubectl, service))
    host = images[0].partition("/")[0]
    other = marked(service, "other", image=f"{host}/tests/missing@sha256:{'0' * 64}")
    kserve.apply(kubectl, [other])
    with pytest.raises(
        grpc.RpcError, match=r"not ready after 15 s, the limit: digits-predictor: 1 of 1 .*PullBackOff|ErrImage"
    ):
        readiness.update("it", state, waited(kubectl, other, seconds=15))
    assert answer(kubectl)["files"] == ["digits/config.pbtxt"]


@pytest.mark.usefixtures("controller")
def test_a_runtime_that_the_cluster_lacks_is_named_before_the_time_is_up(
    provider: Provider, kubectl: Kubectl, namespace: str, tmp_path: Path, images: tuple[str, str]
) -> None:
    service = made(tmp_path, namespace, "triton", images)["InferenceService"]
    other = marked(service, "other", runtime="none")
    kserve.apply(kubectl, [other])
    with pytest.raises(grpc.RpcError, match=r"inference service 'digits': RuntimeNotRecognized: Waiting for runtime"):
        provider.of("Readiness").create(waited(kubectl, other))


@pytest.mark.usefixtures("controller")
def test_of_a_replica_over_several_nodes_kserve_makes_a_head_with_its_share_of_the_gpus(
    kubectl: Kubectl, namespace: str, tmp_path: Path, images: tuple[str, str]
) -> None:
    service = made(tmp_path, namespace, "vllm-over-nodes", images)["InferenceService"]
    kserve.apply(kubectl, [service])
    asked = ("get", "pods", "-n", namespace, "--selector=app=isvc.digits-predictor", "-o=json")
    until(lambda: bool(json.loads(kubectl.run(*asked))["items"]), "the head's pod is admitted")
    spec = json.loads(kubectl.run(*asked))["items"][0]["spec"]
    (head,) = spec["containers"]
    told = {one["name"]: one.get("value") for one in head["env"]}
    assert (told["RAY_NODE_COUNT"], told["TENSOR_PARALLEL_SIZE"]) == ("2", "4")
    assert head["resources"]["limits"]["nvidia.com/gpu"] == "2"
    # KServe's own script starts the server with these, the last of a kind counts.
    assert head["args"][:2] == ["--model_name=digits", "--model_dir=/mnt/models/digits"]
    assert [one["image"]["reference"] for one in spec["volumes"] if "image" in one] == [images[1]]


@pytest.mark.usefixtures("controller")
def test_kserves_webhook_lets_no_scheme_but_oci_pass_where_there_are_workers(
    kubectl: Kubectl, namespace: str, tmp_path: Path, images: tuple[str, str]
) -> None:
    service = made(tmp_path, namespace, "vllm-over-nodes", images)["InferenceService"]
    other = marked(service, "other", storageUri=f"oci+native://{images[1]}")
    with pytest.raises(AssertionError, match=r"only supports .pvc. and .oci. Storage Protocol"):
        kserve.apply(kubectl, [other])
