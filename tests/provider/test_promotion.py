"""Promotion against a real API server; the controller's part is played, for none runs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN

from local import build
from tests.conftest import Platform
from tests.provider.clusters import Kubectl, Object
from tests.provider.conftest import Provider

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session")
def argo(platform: Platform, running: Any, engine: Any) -> None:
    """Argo's own kinds, without its controller."""
    manifest = build.source(build.ROLLOUTS) / "manifests" / "install.yaml"
    sha256 = hashlib.sha256(manifest.read_bytes()).hexdigest()
    inputs = {"kubeconfig": platform.connection.kubeconfig, "source": str(manifest), "sha256": sha256}
    Provider(running, engine[0]).of("Definitions").create(inputs)


@pytest.fixture
def rollout(argo: None, kubectl: Kubectl) -> Object:
    """The inputs of a Promotion whose Rollout is there, and seen by no controller."""
    template = {"metadata": {"labels": {"app": "it"}}, "spec": {"containers": [{"name": "it", "image": "none"}]}}
    spec = {"selector": {"matchLabels": {"app": "it"}}, "template": template, "strategy": {"canary": {}}}
    kubectl.apply({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "it"}, "spec": spec})
    where = {"kubeconfig": kubectl.kubeconfig, "namespace": kubectl.namespace}
    return {**where, "rollout": "it", "wanted": "a", "seconds": 60}


def test_a_rollout_that_is_healthy_is_promoted(provider: Provider, kubectl: Kubectl, rollout: Object) -> None:
    kubectl.status("rollout", "it", {"observedGeneration": "1", "phase": "Healthy", "stableRS": "abc"})
    identifier, state = provider.of("Promotion").create(rollout)
    assert (identifier, state["stable"]) == (f"{kubectl.namespace}/it", "abc")


def test_a_rollout_that_was_aborted_before_gets_another_try_and_then_fails_with_its_reason(
    provider: Provider, kubectl: Kubectl, rollout: Object
) -> None:
    message = 'RolloutAborted: Metric "p99" assessed Failed due to failed (1) > failureLimit (0)'
    status = {"observedGeneration": "1", "phase": "Degraded", "message": message, "stableRS": "abc"}
    kubectl.status("rollout", "it", {**status, "abort": True, "abortedAt": "2026-01-01T00:00:00Z"})
    with pytest.raises(grpc.RpcError, match=r'not promoted: RolloutAborted: Metric "p99" .*the version before goes on'):
        provider.of("Promotion").create(rollout)
    assert "trying the same version again" in provider.engine.said()
    assert kubectl.run("get", "rollout", "it", "-n", kubectl.namespace, "-o=jsonpath={.status.abort}") == "false"


def test_a_spec_that_the_controller_refuses_is_told_though_the_phase_is_an_older_one(
    provider: Provider, kubectl: Kubectl, rollout: Object
) -> None:
    then = dict.fromkeys(("lastTransitionTime", "lastUpdateTime"), "2026-01-01T00:00:00Z")
    refused = {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": "steps[2] is wrong", **then}
    status = {"observedGeneration": "1", "phase": "Healthy", "message": "", "conditions": [refused]}
    kubectl.status("rollout", "it", status)
    with pytest.raises(grpc.RpcError, match=r"not promoted: InvalidSpec: steps\[2\] is wrong"):
        provider.of("Promotion").create(rollout)


def test_a_rollout_that_no_controller_sees_is_not_promoted(
    provider: Provider, kubectl: Kubectl, rollout: Object
) -> None:
    with pytest.raises(grpc.RpcError, match=r"not promoted after 1 s, the limit: the controller has not seen"):
        provider.of("Promotion").create({**rollout, "seconds": 1})


def test_what_an_analysis_measured_is_told_beside_its_name(
    provider: Provider, kubectl: Kubectl, rollout: Object
) -> None:
    run = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "spec": {"metrics": []}}
    kubectl.apply({**run, "metadata": {"name": "it-1", "labels": {"rollouts-pod-template-hash": "new"}}})
    measured = {"name": "p99", "phase": "Failed", "measurements": [{"phase": "Failed", "value": "[3.5]"}]}
    # The kind has no status of its own kind: it is one document.
    patch = json.dumps({"status": {"phase": "Failed", "metricResults": [measured]}})
    kubectl.run("patch", "analysisrun", "it-1", "-n", kubectl.namespace, "--type=merge", f"--patch={patch}")
    status = {"observedGeneration": "1", "phase": "Degraded", "message": "RolloutAborted: p99", "currentPodHash": "new"}
    kubectl.status("rollout", "it", status)
    with pytest.raises(grpc.RpcError, match=r"p99 measured \[3\.5\]; there is no version before"):
        provider.of("Promotion").create(rollout)


def test_a_rollout_that_is_not_there_is_named(provider: Provider, kubectl: Kubectl, argo: None) -> None:
    inputs = {"kubeconfig": kubectl.kubeconfig, "namespace": kubectl.namespace, "rollout": "none", "wanted": "a"}
    with pytest.raises(grpc.RpcError, match="rollout 'none': is not in namespace"):
        provider.of("Promotion").create({**inputs, "seconds": 60})


def test_a_preview_waits_for_nothing(provider: Provider) -> None:
    inputs = {"kubeconfig": "/nowhere", "namespace": "a", "rollout": "it", "wanted": "a", "seconds": 60}
    _, state = provider.of("Promotion").create(inputs, preview=True)
    assert state["stable"] == UNKNOWN


def test_another_machines_kubeconfig_is_no_change(provider: Provider) -> None:
    inputs = {"kubeconfig": "/one", "namespace": "a", "rollout": "it", "wanted": "a", "seconds": 60}
    promotion = provider.of("Promotion")
    assert promotion.diff(inputs, {**inputs, "kubeconfig": "/two"}).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert promotion.diff(inputs, {**inputs, "wanted": "b"}).changes == provider_pb2.DiffResponse.DIFF_SOME


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seconds": "60"}, "seconds: '60' is not a number; correct it"),
        ({"namespace": ""}, "namespace: is missing; give it"),
        ({"rolout": "it"}, "rolout: is no input of Promotion; it takes "),
    ],
)
def test_a_wrong_input_is_named(provider: Provider, change: Object, reason: str) -> None:
    inputs = {"kubeconfig": "/one", "namespace": "a", "rollout": "it", "wanted": "a", "seconds": 60}
    _, failures = provider.of("Promotion").check({**inputs, **change})
    assert [one for one in failures.values() if one.startswith(reason)]


def test_a_kubeconfig_that_cannot_be_read_is_named(provider: Provider) -> None:
    inputs = {"kubeconfig": "/nowhere", "namespace": "a", "rollout": "it", "wanted": "a", "seconds": 60}
    with pytest.raises(grpc.RpcError, match="kubeconfig: '/nowhere' cannot be used"):
        provider.of("Promotion").create(inputs)
