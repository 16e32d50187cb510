"""The gateway of stack dev: one address for every model, and no request lost while pods come and go."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import urllib3

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

STACK = "Pulumi.dev.yaml"
CLIENTS = 4
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
BODY = json.dumps({"inputs": [TENSOR]}).encode()


@dataclass
class Load:
    """What came of each request: its status, or what went wrong."""

    url: str
    ended: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)

    def send(self) -> None:
        """Ask again and again over one connection, and never a second time for the same."""
        with urllib3.PoolManager(1, retries=False, timeout=30) as pool:
            while not self.ended.is_set():
                self.answers[self._once(pool)] += 1
                time.sleep(0.02)

    def _once(self, pool: urllib3.PoolManager) -> str:
        try:
            return str(pool.request("POST", f"{self.url}/v2/models/digits/infer", body=BODY).status)
        except urllib3.exceptions.HTTPError as error:
            return repr(error)


@contextmanager
def steady_load(url: str) -> Iterator[Load]:
    """Keep CLIENTS clients asking for the length of a block."""
    load = Load(url)
    clients = [threading.Thread(target=load.send) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    try:
        until(lambda: load.answers.total() > CLIENTS, "requests are answered")
        yield load
    finally:
        load.ended.set()
        for one in clients:
            one.join()


@pytest.fixture
def url(dev: Checkout) -> str:
    return str(dev.outputs()["endpoint"]["digits"])


def pods(dev: Checkout, cluster: Cluster, name: str) -> set[str]:
    """The names of an application's pods that are ready and do not end."""
    found = set()
    for pod in cluster.items("pods", dev.outputs()["namespace"]):
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
        own = pod["metadata"]["labels"].get("app.kubernetes.io/name") == name
        if own and conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
            found.add(str(pod["metadata"]["name"]))
    return found


def test_every_model_has_the_gateways_address(dev: Checkout, url: str) -> None:
    assert set(dev.outputs()["endpoint"].values()) == {url}
    for model in ("digits", "mnist"):
        assert urllib3.request("GET", f"{url}/v2/models/{model}").json()["name"] == model
    assert urllib3.request("GET", f"{url}/v2/health/ready").json() == {"ready": True}


def test_a_path_of_no_model_is_a_404_in_json(url: str) -> None:
    answer = urllib3.request("GET", f"{url}/v2/models/none")
    assert (answer.status, set(answer.json())) == (404, {"error"})


def test_a_pod_deleted_by_force_loses_no_request(dev: Checkout, cluster: Cluster, url: str) -> None:
    before = pods(dev, cluster, "digits")
    with steady_load(url) as load:
        cluster.run(
            "delete", "pod", min(before), "--force", "--grace-period=0", "--namespace", dev.outputs()["namespace"]
        )
        until(lambda: len(pods(dev, cluster, "digits") - before) == 1, "another pod is ready")
    assert set(load.answers) == {"200"}, load.answers


def test_a_changed_setting_rolls_the_gateway_and_loses_no_request(dev: Checkout, cluster: Cluster, url: str) -> None:
    before = pods(dev, cluster, "gateway")
    with dev.edited(STACK, "gateway: {enabled: true}", "gateway: {enabled: true, queueSeconds: 6}"):
        with steady_load(url) as load:
            dev.must("up")
            until(lambda: not pods(dev, cluster, "gateway") & before, "the old pods end")
            # They still have connections until their clients have come back to the new ones.
            time.sleep(10)
        assert set(load.answers) == {"200"}, load.answers
    assert len(pods(dev, cluster, "gateway")) == 2
    dev.must("up")
