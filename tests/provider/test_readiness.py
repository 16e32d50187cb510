"""Readiness against a real API server that knows InferenceServices; the controller's part is played."""

from __future__ import annotations

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from tests.conftest import Platform
from tests.provider.clusters import Kubectl, Object
from tests.provider.conftest import Provider

pytestmark = pytest.mark.e2e
NOWHERE: Object = {"kubeconfig": "/one", "namespace": "a", "service": "it", "wanted": "a", "replicas": 1, "seconds": 60}


@pytest.fixture
def service(inference_services: None, kubectl: Kubectl) -> Object:
    """The inputs of a Readiness whose InferenceService is there, and seen by no controller."""
    model = {"modelFormat": {"name": "onnx"}, "storageUri": "oci+native://it"}
    kind = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "it"}}
    kubectl.apply({**kind, "spec": {"predictor": {"model": model}}})
    return {**NOWHERE, "kubeconfig": kubectl.kubeconfig, "namespace": kubectl.namespace}


def deployed(kubectl: Kubectl, mark: str, image: str) -> None:
    """Make the Deployment that KServe would."""
    labels = {"app": "isvc.it-predictor", "serving.kserve.io/inferenceservice": "it"}
    template = {
        "metadata": {"labels": labels, "annotations": {"modelstack.dev/wanted": mark}},
        "spec": {"containers": [{"name": "kserve-container", "image": image}], "terminationGracePeriodSeconds": 0},
    }
    metadata = {"name": "it-predictor", "labels": labels}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    kubectl.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})


def says(kubectl: Kubectl, **model: object) -> None:
    """Have the InferenceService say that it is ready, and this of its model."""
    states = {"activeModelState": "", "targetModelState": "Loaded"}
    status = {"states": states, "transitionStatus": "UpToDate", **model}
    kubectl.status(
        "inferenceservice", "it", {"conditions": [{"type": "Ready", "status": "True"}], "modelStatus": status}
    )


def test_it_is_ready_once_the_wanted_pods_serve_and_not_while_those_before_do(
    provider: Provider, kubectl: Kubectl, service: Object, platform: Platform
) -> None:
    readiness, pause = provider.of("Readiness"), platform.connection.images["pause"]
    deployed(kubectl, "a", pause)
    says(kubectl)
    identifier, state = readiness.create(service)
    assert (identifier, state) == (f"{kubectl.namespace}/it", service)
    with pytest.raises(grpc.RpcError, match="not ready after 1 s, the limit: the controller has not made its Deploy"):
        readiness.update(identifier, state, {**service, "wanted": "b", "seconds": 1})
    deployed(kubectl, "b", pause)
    readiness.update(identifier, state, {**service, "wanted": "b"})


def test_what_the_controller_cannot_do_is_told_before_the_time_is_up(
    provider: Provider, kubectl: Kubectl, service: Object
) -> None:
    says(kubectl, transitionStatus="InvalidSpec", lastFailureInfo={"reason": "RuntimeDisabled", "message": "is off"})
    with pytest.raises(grpc.RpcError, match="inference service 'it': RuntimeDisabled: is off"):
        provider.of("Readiness").create(service)


def test_pods_that_are_not_admitted_are_told_before_the_time_is_up(
    provider: Provider, kubectl: Kubectl, service: Object
) -> None:
    kubectl.run("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    deployed(kubectl, "a", "none")
    with pytest.raises(grpc.RpcError, match=r"inference service 'it': FailedCreate: pods .* violates PodSecurity"):
        provider.of("Readiness").create(service)


def test_a_refresh_notices_an_inference_service_that_is_gone(
    provider: Provider, kubectl: Kubectl, service: Object
) -> None:
    readiness = provider.of("Readiness")
    assert readiness.read("it", service, service)[0] == "it"
    kubectl.run("delete", "inferenceservice", "it", "-n", kubectl.namespace)
    assert readiness.read("it", service, service)[0] == ""
    with pytest.raises(grpc.RpcError, match="inference service 'it': is not in namespace"):
        readiness.create(service)


def test_a_preview_waits_for_nothing(provider: Provider) -> None:
    assert provider.of("Readiness").create(NOWHERE, preview=True)[1] == NOWHERE


def test_another_machines_kubeconfig_is_no_change(provider: Provider) -> None:
    readiness = provider.of("Readiness")
    assert readiness.diff(NOWHERE, {**NOWHERE, "kubeconfig": "/two"}).changes == provider_pb2.DiffResponse.DIFF_NONE
    for change in ({"wanted": "b"}, {"replicas": 2}):
        assert readiness.diff(NOWHERE, {**NOWHERE, **change}).changes == provider_pb2.DiffResponse.DIFF_SOME


def test_a_wrong_input_is_named(provider: Provider) -> None:
    _, failures = provider.of("Readiness").check({**NOWHERE, "replicas": "1"})
    assert failures == {"replicas": "replicas: '1' is not a number; correct it"}
