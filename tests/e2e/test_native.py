"""What a recipe may add to a model's server, on real pods: the native front, and gRPC."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import tritonclient.grpc as triton
import urllib3

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

RECIPE = "models/mnist/recipe.yaml"
PLAIN, WHOLE = "runtime: {name: onnxruntime}", "runtime: {name: onnxruntime, native: true, grpc: true}"
ANSWERED = re.compile(r"^modelstack_native_requests_total\{.*\} (\d+)", re.MULTILINE)


@pytest.fixture(scope="module")
def whole(checkout: Checkout, first_up: str) -> Iterator[Checkout]:
    """Stack dev with mnist behind the native front, and with gRPC; as it was, afterwards."""
    with checkout.edited(RECIPE, PLAIN, WHOLE):
        checkout.must("up")
        yield checkout
    checkout.must("up")


@contextmanager
def forwarded(cluster: Cluster, namespace: str, port: int) -> Iterator[str]:
    """Give a local address that leads to a port of mnist's Service."""
    command = [*cluster.program, "port-forward", "service/mnist", f":{port}", "--namespace", namespace]
    command += ["--kubeconfig", cluster.kubeconfig]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            yield said.split()[2]
        finally:
            process.terminate()


def test_every_held_out_sample_gets_its_answer_through_the_gateway_and_the_native_front(
    whole: Checkout, cluster: Cluster
) -> None:
    whole.must("predict")
    with forwarded(cluster, whole.outputs()["namespace"], 8080) as address:
        series = urllib3.request("GET", f"http://{address}/metrics").data.decode()
    answered = ANSWERED.search(series)
    assert answered is not None, series
    assert int(answered[1]) > 0


def test_the_same_model_answers_over_grpc_at_its_service(whole: Checkout, cluster: Cluster) -> None:
    url = whole.outputs()["endpoint"]["mnist"]
    about = urllib3.request("GET", f"{url}/v2/models/mnist").json()["inputs"][0]
    shape = [1, *about["shape"][1:]]
    sample = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    tensor = {"name": about["name"], "datatype": "FP32", "shape": shape, "data": sample.ravel().tolist()}
    answer = urllib3.request("POST", f"{url}/v2/models/mnist/infer", json={"inputs": [tensor]}).json()["outputs"][0]
    given = triton.InferInput(about["name"], shape, "FP32")
    given.set_data_from_numpy(sample)
    with (
        forwarded(cluster, whole.outputs()["namespace"], 8081) as address,
        triton.InferenceServerClient(address) as client,
    ):
        found = client.infer("mnist", [given]).as_numpy(answer["name"])
    assert found is not None
    assert np.allclose(found.ravel(), answer["data"], atol=1e-5)
