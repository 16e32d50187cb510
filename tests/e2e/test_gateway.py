"""The gateway of stack dev: one address for every model, and no request lost while pods come and go."""

from __future__ import annotations

import time

import pytest
import urllib3

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.e2e.load import steady_load
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

STACK = "Pulumi.dev.yaml"


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
    assert not load.failed, load.failed


def test_a_changed_setting_rolls_the_gateway_and_loses_no_request(dev: Checkout, cluster: Cluster, url: str) -> None:
    before = pods(dev, cluster, "gateway")
    with dev.edited(STACK, "gateway: {enabled: true}", "gateway: {enabled: true, queueSeconds: 6}"):
        with steady_load(url) as load:
            dev.must("up")
            until(lambda: not pods(dev, cluster, "gateway") & before, "the old pods end")
            # They still have connections until their clients have come back to the new ones.
            time.sleep(10)
        assert not load.failed, load.failed
    assert len(pods(dev, cluster, "gateway")) == 2
    dev.must("up")
