"""What a Rollout of Argo says of itself, its pods and the analysis that judged it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provider.kubernetes import ANALYSIS_RUN, POD, Cluster, Object

HASH = "rollouts-pod-template-hash"
JOB_NAME = "batch.kubernetes.io/job-name"
PASSING = {None, "ContainerCreating", "PodInitializing"}
FAILED = {"Failed", "Error", "Inconclusive"}


def is_observed(live: Object) -> bool:
    """Return whether the status speaks of the newest spec."""
    status = live.get("status") or {}
    return str(status.get("observedGeneration")) == str(live["metadata"].get("generation"))


def phase(live: Object) -> tuple[str, str]:
    """Return the phase and its message; a spec that the controller refuses leaves both as they were before it."""
    status = live.get("status") or {}
    invalid = next((one for one in status.get("conditions") or [] if one.get("type") == "InvalidSpec"), None)
    if invalid is not None and invalid.get("status") == "True":
        return "Degraded", f"InvalidSpec: {invalid.get('message')}"
    return str(status.get("phase") or "Progressing"), str(status.get("message") or "no reason given")


def progress(live: Object) -> str:
    """Return one line on how far a rollout is."""
    status, canary = live.get("status") or {}, (live["spec"].get("strategy") or {}).get("canary") or {}
    found, message = phase(live)
    steps = len(canary.get("steps") or [])
    at = f"step {min(int(status.get('currentStepIndex') or 0) + 1, steps)} of {steps}, " if steps else ""
    updated, wanted = status.get("updatedReplicas") or 0, live["spec"].get("replicas", 1)
    return f"{found}: {at}{updated} of {wanted} pods new: {message}"


def pods(cluster: Cluster, namespace: str, live: Object) -> tuple[str, ...]:
    """Return what keeps pods of the new version from being ready: image, crash."""
    labels = {HASH: str((live.get("status") or {}).get("currentPodHash") or "none")}
    return tuple(sorted({reason for pod in cluster.list(POD, namespace, labels) for reason in kept_back(pod)}))


def measured(cluster: Cluster, namespace: str, live: Object) -> tuple[str, ...]:
    """Return what the failed analysis of the new version measured."""
    labels = {HASH: str((live.get("status") or {}).get("currentPodHash") or "none")}
    runs = [run for run in cluster.list(ANALYSIS_RUN, namespace, labels) if _of(run, "phase") in FAILED]
    if not runs:
        return ()
    newest = max(runs, key=lambda run: str(run["metadata"].get("creationTimestamp")))
    results = [one for one in _of(newest, "metricResults") or [] if one.get("phase") in FAILED]
    return tuple(said for result in results for said in _said(cluster, namespace, result))


def ended(pod: Object) -> Iterator[str]:
    """Yield the last words of a pod's containers that ended badly."""
    for container in _of(pod, "containerStatuses") or []:
        state = (container.get("state") or {}).get("terminated") or {}
        if state.get("exitCode"):
            said = " ".join(str(state.get("message") or "").split())
            yield said or f"container {container['name']}: {state.get('reason')}, exit code {state['exitCode']}"


def kept_back(pod: Object) -> tuple[str, ...]:
    """Return what keeps a pod's containers from running."""
    found = []
    for container in _of(pod, "containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        last = (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") not in PASSING:
            code = f" (last exit code {last['exitCode']})" if "exitCode" in last else ""
            said = " ".join(str(waiting.get("message") or "").split())
            found.append(f"container {container['name']}: [{waiting['reason']}] {said}{code}")
    return tuple(found)


def _said(cluster: Cluster, namespace: str, result: Object) -> Iterator[str]:
    last = (result.get("measurements") or [{}])[-1]
    if "value" in last:
        yield f"{result['name']} measured {last['value']}"
    job = (last.get("metadata") or {}).get("job-name")
    if job:
        for pod in cluster.list(POD, namespace, {JOB_NAME: job}):
            yield from ended(pod)


def _of(live: Object, key: str) -> Any:
    return (live.get("status") or {}).get(key)
