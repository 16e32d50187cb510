"""The pods that a resource makes, whichever kind it is of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from policy.node import Node
from policy.rule import Resource

TEMPLATE = ("spec", "template")
# Kind → where its pods' template lies; what ends by itself is never asked whether it is well.
LASTING = {
    "Deployment": TEMPLATE,
    "StatefulSet": TEMPLATE,
    "DaemonSet": TEMPLATE,
    "ReplicaSet": TEMPLATE,
    "ReplicationController": TEMPLATE,
    "Rollout": TEMPLATE,
}
ENDING = {"Job": TEMPLATE, "CronJob": ("spec", "jobTemplate", "spec", "template"), "Pod": ()}
ANALYSES = ("AnalysisTemplate", "ClusterAnalysisTemplate")
RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
ROOMS = ("predictor", "transformer", "explainer")
# What a predictor names in place of containers: the framework, by KServe's older fields, or `model`.
MODELS = ("model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm")
SMOKE_TEST = "modelstack:index:SmokeTest"


@dataclass(frozen=True)
class Pods:
    """The pods of one template."""

    spec: Node
    metadata: Node
    lasting: bool
    """Whether they go on until something ends them."""
    models: bool = False
    """Whether a container may be named by its framework, as KServe's are."""

    @property
    def containers(self) -> list[Node]:
        """Every container."""
        first = (self.spec.at(key).each() for key in ("initContainers", "ephemeralContainers"))
        return [*self.own, *(one for containers in first for one in containers)]

    @property
    def own(self) -> list[Node]:
        """The containers that are there as long as the pod is."""
        named = (self.spec.at(key) for key in MODELS) if self.models else ()
        return [*self.spec.at("containers").each(), *(one for one in named if one.known)]


def pods_of(resource: Resource) -> list[Pods]:
    """Return the pods that a resource makes, or that a patch says a part of."""
    if resource.type == SMOKE_TEST:
        return [Pods(resource.at("pod"), resource.at("labels"), lasting=False)]
    if not resource.type.startswith("kubernetes:"):
        return []
    kind, seen = resource.kind.removesuffix("Patch"), resource.properties
    if kind in LASTING or kind in ENDING:
        lasting = kind in LASTING
        return [_of_template(seen.at(*(LASTING if lasting else ENDING)[kind]), lasting=lasting)]
    if kind in ANALYSES:
        jobs = (metric.at("provider", "job") for metric in seen.at("spec", "metrics").each())
        return [_of_template(job.at("spec", "template"), lasting=False) for job in jobs if job.known]
    return _of_kserve(resource.type, kind, seen)


def _of_template(template: Node, *, lasting: bool) -> Pods:
    return Pods(template.at("spec"), template.at("metadata"), lasting)


def _of_kserve(type_: str, kind: str, seen: Node) -> list[Pods]:
    if ":serving.kserve.io/" not in type_:
        return []
    if kind in RUNTIMES:
        # What it leaves out an InferenceService says.
        rooms = [replace(seen.at("spec"), partial=True)]
    elif kind == "InferenceService":
        rooms = [room for room in (seen.at("spec", key) for key in ROOMS) if room.known]
    else:
        return []
    # Of several pods that are one replica KServe's runtime says what each waits for.
    workers = [room.at("workerSpec") for room in rooms if room.at("workerSpec").known]
    alone = [Pods(room, room, lasting=not room.at("workerSpec").known, models=True) for room in rooms]
    return [*alone, *(Pods(worker, worker, lasting=False) for worker in workers)]


def namespace_of(resource: Resource) -> Node:
    """Return the namespace that a resource's pods are in."""
    return resource.at("namespace") if resource.type == SMOKE_TEST else resource.at("metadata", "namespace")
