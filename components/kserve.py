"""An InferenceService of KServe: its controller makes the Deployment, and mounts the model's image into the pods.

Fields: https://kserve.github.io/website/docs/reference/crd-api (v1beta1); what its webhook lets pass:
kserve/kserve, pkg/apis/serving/v1beta1/inference_service_validation.go, version 0.20.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import runtime
from components.fingerprint import fingerprint
from components.labels import APP, OWN
from components.pods import USER, container_security
from components.runtime import Told
from components.serving_pods import ServingPods
from components.wire import wire
from provider.cluster_resources import Readiness, ReadinessArgs
from settings import Resources

Spec = dict[str, Any]
# Replicas are its Deployment's, which nothing scales, or whatever scales them is not KServe's to make.
FIXED, SCALED_BY_OTHERS = "none", "external"
# The stack's own Service leads to the pods: KServe makes no Ingress.
INSIDE = {"networking.kserve.io/visibility": "cluster-local"}
ROLLING = {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}}
COUNTED = ("minReplicas", "maxReplicas", "deploymentStrategy")
WANTED = f"{OWN}/wanted"


def predictor(pods: ServingPods, opts: pulumi.ResourceOptions) -> Readiness:
    """Make the InferenceService; returns the resource that is ready once the version serves."""
    scaled = pods.args.model.scale is not None
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": SCALED_BY_OTHERS if scaled else FIXED,
    }
    spec = wire({**_counts(pods), "labels": pods.told_apart, **_pod(pods)}).apply(_marked)
    labels = {**pods.labels.metadata, f"{APP}/version": pods.version, **INSIDE}
    service = k8s.apiextensions.CustomResource(
        pods.name,
        api_version="serving.kserve.io/v1beta1",
        kind="InferenceService",
        metadata={**pods.metadata, "labels": labels, "annotations": annotations},
        spec={"predictor": spec},
        opts=opts,
    )
    args = ReadinessArgs(
        access=pods.args.site.access,
        namespace=pods.args.site.namespace,
        service=pods.name,
        wanted=spec.apply(lambda found: found["annotations"][WANTED]),
        replicas=0 if scaled else pods.args.model.replicas,
        seconds=pods.args.model.rollout_seconds,
    )
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[service]))
    return Readiness(pods.name, args, after)


def _marked(found: Spec) -> Spec:
    # KServe's status does not say which spec it is of: pods are told by a mark. What counts them rolls none.
    read = {key: one for key, one in found.items() if key not in COUNTED}
    return {**found, "annotations": {WANTED: fingerprint(read)}}


def _counts(pods: ServingPods) -> Spec:
    model = pods.args.model
    return {"min_replicas": model.first, "max_replicas": model.most, "deployment_strategy": ROLLING}


def _pod(pods: ServingPods) -> Spec:
    """Return what is said of the pod beside its containers, with the model and, over several nodes, the workers."""
    pod = {key: one for key, one in pods.pod.items() if key != "containers"}
    return {**pod, "model": _model(pods), "worker_spec": _workers(pods, pod)}


def _model(pods: ServingPods) -> Spec:
    args = pods.args
    return {
        "model_format": {"name": pods.told(lambda told: told["predictor"]["format"])},
        "runtime": args.model.serve.runtime or pods.told(lambda told: told["predictor"]["runtime"]),
        "protocol_version": pods.told(lambda told: told["predictor"].get("protocol")),
        "storage_uri": pulumi.Output.concat(_scheme(pods), "://", args.image),
        **_container(pods),
        "args": pods.told(lambda told: told["predictor"]["args"]),
        "ports": pods.told(_ports),
        "lifecycle": pods.container["lifecycle"],
        # Of several pods KServe's runtime says what each waits for.
        **(_probes(pods) if not args.model.serve.over_nodes else {}),
    }


def _scheme(pods: ServingPods) -> str:
    # Where there are workers, KServe's webhook takes no other; what becomes of it is the cluster's `ociModelMode`.
    return "oci" if pods.args.model.serve.over_nodes else "oci+native"


def _container(pods: ServingPods) -> Spec:
    """Return what the server's container has in common with a worker's."""
    whole = pods.container
    same = ("image", "env", "volume_mounts")
    return {
        **{key: whole[key] for key in same},  # type: ignore[literal-required]
        "resources": pods.told(lambda told: _resources(told, pods.args.model.resources, pods.args.gpu)),
        # KServe's runtimes name users of their own.
        "security_context": {**container_security(), "run_as_user": USER, "run_as_group": USER},
    }


def _probes(pods: ServingPods) -> Spec:
    whole = pods.container
    return {key: whole[key] for key in ("startup_probe", "readiness_probe", "liveness_probe")}


def _ports(told: Told) -> list[k8s.core.v1.ContainerPortArgsDict]:
    # The first is the one that KServe's own Service leads to.
    return sorted(runtime.container_ports(told), key=lambda one: one["name"] != "http")


def _resources(told: Told, given: Resources, gpu: str) -> Spec:
    # KServe counts nodes by the GPUs that a pod requests.
    found: Spec = {**runtime.resources(told, given, gpu)}
    gpus = {key: one for key, one in found["limits"].items() if key == gpu}
    return {**found, "requests": {**found["requests"], **gpus}}


def _workers(pods: ServingPods, pod: Spec) -> Spec | None:
    """Return the pods beside the head; KServe counts them by the GPUs of one."""
    if not pods.args.model.serve.over_nodes:
        return None
    return {
        **pod,
        "tensor_parallel_size": pods.told(
            lambda told: int(told["gpus"]) * pods.args.model.serve.nodes // runtime.stages(told)
        ),
        "pipeline_parallel_size": pods.told(runtime.stages),
        "containers": [{"name": "worker-container", **_container(pods)}],
    }
