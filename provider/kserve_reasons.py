"""What an InferenceService of KServe says of itself, and the Deployments and pods that are made for it.

The states are those of kserve/kserve, pkg/apis/serving/v1beta1/inference_service_status.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provider.kubernetes import DEPLOYMENT, POD, Cluster, Object, holds
from provider.rollout_reasons import kept_back

SERVICE = "serving.kserve.io/inferenceservice"
WANTED = "modelstack.dev/wanted"
# What does not pass by waiting. A Deployment that has not enough pods yet is "not ready" too, and BlockedByFailedLoad
# is of any one pod, which may be of a version before: of the wanted pods `pods` tells.
INVALID = "InvalidSpec"
FAILED = ("ReconcileFailed", "InvalidGPUAllocation", "InvalidWorkerSpecNotSet")


def deployments(cluster: Cluster, namespace: str, name: str) -> list[Object]:
    """Return the Deployments that are made for an InferenceService: of workers too, where it has any."""
    return cluster.list(DEPLOYMENT, namespace, {SERVICE: name})


def serves(live: Object, made: Sequence[Object], wanted: str, replicas: int) -> bool:
    """Return whether the wanted pods serve alone, and are as many as asked for; 0 asks for no number."""
    heads = [one for one in made if one["metadata"]["name"] == f"{live['metadata']['name']}-predictor"]
    counted = [one for one in heads if replicas in (0, one["spec"].get("replicas", 1))]
    return bool(counted) and holds(live, "Ready") and all(_is_rolled_out(one, wanted) for one in made)


def refusal(live: Object, made: Sequence[Object], wanted: str) -> str | None:
    """Return why the controller, or the API server, cannot do what is asked; None where it may only need time."""
    model = (live.get("status") or {}).get("modelStatus") or {}
    if model.get("transitionStatus") == INVALID:
        said = model.get("lastFailureInfo") or {}
        return f"{said.get('reason') or INVALID}: {_line(said.get('message'))}"
    failed = [one for one in _conditions(live) if one.get("reason") in FAILED and one.get("status") == "False"]
    wanting = [one for deployment in made if _is_marked(deployment, wanted) for one in _conditions(deployment)]
    failed += [one for one in wanting if one.get("type") == "ReplicaFailure" and one.get("status") == "True"]
    return f"{failed[0]['reason']}: {_line(failed[0].get('message'))}" if failed else None


def progress(live: Object, made: Sequence[Object], wanted: str) -> str:
    """Return one line on how far it is."""
    if not any(_is_marked(one, wanted) for one in made):
        return "the controller has not made its Deployment; is KServe running?"
    waiting = [one for one in made if not _is_rolled_out(one, wanted)]
    if not waiting:
        return f"conditions not true: {', '.join(_untrue(live)) or 'Ready'}"
    status, asked = waiting[0].get("status") or {}, waiting[0]["spec"].get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return f"{waiting[0]['metadata']['name']}: {updated} of {asked} pods new, {ready} available"


def pods(cluster: Cluster, namespace: str, name: str, wanted: str) -> tuple[str, ...]:
    """Return what keeps the wanted pods from being ready: image, crash."""
    found = [one for one in cluster.list(POD, namespace, {SERVICE: name}) if _annotation(one) == wanted]
    return tuple(sorted({reason for pod in found for reason in kept_back(pod)}))


def _is_rolled_out(deployment: Object, wanted: str) -> bool:
    status, asked = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    seen = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"]["generation"])
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return _is_marked(deployment, wanted) and seen and counts == [asked] * 3


def _is_marked(deployment: Object, wanted: str) -> bool:
    return _annotation(deployment["spec"]["template"]) == wanted


def _annotation(of: Object) -> str:
    return str((of["metadata"].get("annotations") or {}).get(WANTED, ""))


def _untrue(live: Object) -> list[str]:
    # Stopped is false where all is well.
    return [str(one["type"]) for one in _conditions(live) if one.get("status") != "True" and one["type"] != "Stopped"]


def _conditions(of: Object) -> list[Object]:
    return (of.get("status") or {}).get("conditions") or []


def _line(text: Any) -> str:
    return " ".join(str(text or "no reason given").split())
