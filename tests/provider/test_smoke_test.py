"""SmokeTest with real pods: what they say last is the reason."""

from __future__ import annotations

import grpc
import pytest

from tests.conftest import Platform
from tests.provider.clusters import Kubectl, Object
from tests.provider.conftest import Provider
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture
def smoke(kubectl: Kubectl, platform: Platform) -> Object:
    """The inputs of a SmokeTest whose pod prints what it is told and ends with `code`."""
    container = {"name": "check", "image": platform.connection.images["base"]}
    container |= {"terminationMessagePolicy": "FallbackToLogsOnError"}
    pod = {"restartPolicy": "Never", "containers": [container]}
    where = {"kubeconfig": kubectl.kubeconfig, "namespace": kubectl.namespace, "name": "it-smoke"}
    return {**where, "labels": {"app": "check"}, "pod": pod, "seconds": 120}


def ending(inputs: Object, program: str) -> Object:
    (container,) = inputs["pod"]["containers"]
    command = ["/usr/bin/python3.11", "-c", program]
    return {**inputs, "pod": {**inputs["pod"], "containers": [{**container, "command": command}]}}


def test_a_smoke_test_that_ends_well_leaves_no_job(provider: Provider, kubectl: Kubectl, smoke: Object) -> None:
    identifier, _ = provider.of("SmokeTest").create(ending(smoke, "print('fine')"))
    assert identifier == f"{kubectl.namespace}/it-smoke"
    until(lambda: kubectl.run("get", "jobs", "-n", kubectl.namespace, "-o=name") == "", "the job is gone")


def test_a_smoke_test_that_fails_says_its_pods_last_words(provider: Provider, kubectl: Kubectl, smoke: Object) -> None:
    program = "import sys; sys.exit('digits: output y differs')"
    with pytest.raises(grpc.RpcError, match="smoke test: digits: output y differs"):
        provider.of("SmokeTest").create(ending(smoke, program))
    until(lambda: kubectl.run("get", "jobs", "-n", kubectl.namespace, "-o=name") == "", "the job is gone")


def test_a_smoke_test_that_cannot_start_says_why(provider: Provider, smoke: Object) -> None:
    (container,) = smoke["pod"]["containers"]
    pod = {**smoke["pod"], "containers": [{**container, "image": "127.0.0.1:9/none:1"}]}
    with pytest.raises(grpc.RpcError, match=r"smoke test: .*container check: \[(ErrImagePull|ImagePullBackOff)\]"):
        provider.of("SmokeTest").create({**smoke, "pod": pod, "seconds": 5})


def test_a_preview_runs_no_smoke_test(provider: Provider, kubectl: Kubectl, smoke: Object) -> None:
    provider.of("SmokeTest").create(ending(smoke, "pass"), preview=True)
    assert kubectl.run("get", "jobs", "-n", kubectl.namespace, "-o=name") == ""
