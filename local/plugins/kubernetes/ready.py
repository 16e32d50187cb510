"""When an object is ready, by kind, and what keeps it from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.plugins.kubernetes import jsonpath, naming
from local.plugins.kubernetes.client import ApiError, Client, NoKind, Object

SETTLE_SECONDS = 10.0  # a Service without endpoints counts as ready after this long without a change
NO_PODS = (
    "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not match labels "
    "on any Pods"
)


@dataclass(frozen=True)
class Progress:
    """How far an object is."""

    ready: bool
    reasons: list[str] = field(default_factory=list)
    failed: bool = False  # no waiting will help
    settle: float = 0.0  # ready only after this many seconds without a change


Check = Callable[[Client, Object], Progress]
READY = Progress(True)


def _condition(live: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def _is_true(live: Mapping[str, Any], kind: str) -> bool:
    return _condition(live, kind).get("status") == "True"


def _is_false(condition: Mapping[str, Any]) -> bool:
    return bool(condition.get("status") == "False")


def _observed(live: Object) -> bool:
    status = live.get("status") or {}
    return int(status.get("observedGeneration") or 0) >= int(live["metadata"].get("generation") or 0)


def pod_reasons(pod: Mapping[str, Any]) -> list[str]:
    """Return what keeps a pod from being ready: scheduling, image, crash."""
    reasons = []
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        reasons.append(f"[{scheduled.get('reason', 'Unschedulable')}] {scheduled.get('message', '')}")
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        last = (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            detail = waiting.get("message") or ""
            code = f" (last exit code {last['exitCode']})" if "exitCode" in last else ""
            reasons.append(f"container {container['name']}: [{waiting['reason']}] {detail}{code}")
        elif ended.get("exitCode"):
            reasons.append(f"container {container['name']}: [{ended.get('reason')}] exit code {ended['exitCode']}")
        elif state.get("running") and not container.get("ready"):
            reasons.append(f"container {container['name']}: running, not ready")
    return [f"[Pod {pod['metadata']['name']}]: {reason.strip()}" for reason in reasons]


def _pods(client: Client, live: Object, owner: str = "") -> list[str]:
    """Return the reasons of the pods an object selects, or of those one owner holds."""
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not labels:
        return []
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = client.list("v1", "Pod", live["metadata"].get("namespace", ""), labelSelector=selector)
    mine = [pod for pod in pods if not owner or _owned(pod, owner)]
    return sorted({reason for pod in mine if not _is_true(pod, "Ready") for reason in _pod(client, pod)})


def _pod(client: Client, live: Object) -> list[str]:
    """Return a pod's reasons; before its containers have any, the last warning about it."""
    if reasons := pod_reasons(live):
        return reasons
    metadata = live["metadata"]
    selector = f"involvedObject.uid={metadata.get('uid')},type=Warning"
    warnings = client.list("v1", "Event", metadata.get("namespace", ""), fieldSelector=selector)
    latest = max(warnings, key=lambda event: str(event["metadata"].get("creationTimestamp")), default=None)
    return [f"[Pod {metadata['name']}]: [{latest.get('reason')}] {latest.get('message')}"] if latest else []


def _owned(pod: Object, uid: str) -> bool:
    return any(entry.get("uid") == uid for entry in pod["metadata"].get("ownerReferences") or [])


def _new_replica_set(client: Client, live: Object) -> str:
    revision = naming.annotation(live, "deployment.kubernetes.io/revision")
    sets = client.list("apps/v1", "ReplicaSet", live["metadata"].get("namespace", ""))
    current = (
        entry["metadata"]["uid"]
        for entry in sets
        if _owned(entry, live["metadata"]["uid"])
        and naming.annotation(entry, "deployment.kubernetes.io/revision") == revision
    )
    return next(current, "")


def deployment(client: Client, live: Object) -> Progress:
    """A Deployment is ready when its newest ReplicaSet is available as a whole."""
    if not _observed(live):
        return Progress(False, ["the Deployment controller has not seen the change yet"])
    progressing, available = _condition(live, "Progressing"), _condition(live, "Available")
    complete = progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"
    if complete and available.get("status") == "True":
        return READY
    status, wanted = live.get("status") or {}, (live.get("spec") or {}).get("replicas", 1)
    updated, available_now = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    reasons = [
        f"{updated} of {wanted} replicas updated, {available_now} available",
        *(f"[{entry.get('reason')}] {entry.get('message')}" for entry in (available, progressing) if _is_false(entry)),
    ]
    if _is_true(live, "ReplicaFailure"):
        failure = _condition(live, "ReplicaFailure")
        reasons.append(f"[{failure.get('reason')}] {failure.get('message')}")
    replica_set = _new_replica_set(client, live)
    return Progress(False, reasons + (_pods(client, live, replica_set) if replica_set else []))


def stateful_set(client: Client, live: Object) -> Progress:
    """A StatefulSet is ready when every replica runs the current revision and is ready."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    wanted, done = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    strategy = spec.get("updateStrategy") or {}
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    rolled = (
        strategy.get("type") == "OnDelete"
        or int(status.get("updatedReplicas") or 0) >= wanted - partition
        or status.get("currentRevision") == status.get("updateRevision")
    )
    if _observed(live) and rolled and done >= wanted:
        return READY
    return Progress(False, [f"{done} of {wanted} replicas ready", *_pods(client, live)])


def daemon_set(client: Client, live: Object) -> Progress:
    """A DaemonSet is ready when every wanted node runs an available, updated pod."""
    status = live.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    strategy = ((live.get("spec") or {}).get("updateStrategy") or {}).get("type")
    if _observed(live) and available >= wanted and (updated >= wanted or strategy == "OnDelete"):
        return READY
    return Progress(False, [f"{available} of {wanted} pods available, {updated} updated", *_pods(client, live)])


def service(client: Client, live: Object) -> Progress:
    """A Service is ready when its endpoints are, and its load balancer has an address."""
    spec, metadata = live.get("spec") or {}, live["metadata"]
    balancer = (live.get("status") or {}).get("loadBalancer") or {}
    if spec.get("type") == "LoadBalancer" and not balancer.get("ingress"):
        return Progress(False, ["Service was not allocated an IP address; does your cloud provider support this?"])
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return READY
    selector = f"kubernetes.io/service-name={metadata['name']}"
    slices = client.list("discovery.k8s.io/v1", "EndpointSlice", metadata["namespace"], labelSelector=selector)
    conditions = [entry.get("conditions") or {} for part in slices for entry in part.get("endpoints") or []]
    ready = sum(entry.get("ready") is not False for entry in conditions)
    pending = sum(entry.get("ready") is False and not entry.get("terminating") for entry in conditions)
    if pending:
        return Progress(False, [f"{ready} endpoints ready, {pending} not; Selected Pods may not be ready"])
    return READY if ready else Progress(True, [NO_PODS], settle=SETTLE_SECONDS)


def pod(client: Client, live: Object) -> Progress:
    """A Pod is ready when its containers are, or when it has ended well."""
    if (live.get("status") or {}).get("phase") == "Succeeded" or _is_true(live, "Ready"):
        return READY
    return Progress(False, _pod(client, live) or ["the Pod is not ready"])


def job(client: Client, live: Object) -> Progress:
    """A Job is ready when it is complete; a failed one never will be."""
    if _is_true(live, "Complete") or (live.get("spec") or {}).get("suspend"):
        return READY
    failed = _condition(live, "Failed")
    if failed.get("status") == "True":
        return Progress(False, [f"[{failed.get('reason')}] {failed.get('message')}"], failed=True)
    return Progress(False, _pods(client, live) or ["the Job has not completed"])


def volume_claim(client: Client, live: Object) -> Progress:
    """A claim is ready when it is bound, or waits for its first pod by its class' choice."""
    phase = (live.get("status") or {}).get("phase")
    name = (live.get("spec") or {}).get("storageClassName")
    if phase == "Bound":
        return READY
    if phase == "Pending" and name:
        try:
            mode = client.get("storage.k8s.io/v1", "StorageClass", "", name).get("volumeBindingMode")
        except (ApiError, NoKind):
            mode = None
        if mode == "WaitForFirstConsumer":
            return READY
    return Progress(False, [f"the claim is {phase or 'new'}, storage class {name or 'none'}"])


def _phase(*wanted: str) -> Check:
    def check(_client: Client, live: Object) -> Progress:
        phase = (live.get("status") or {}).get("phase")
        return READY if phase in wanted else Progress(False, [f"phase is {phase}, not {' or '.join(wanted)}"])

    return check


def definition(_client: Client, live: Object) -> Progress:
    """A CustomResourceDefinition is ready when the API server serves it."""
    refused = _condition(live, "NamesAccepted")
    if refused.get("status") == "False":
        return Progress(False, [f"[{refused.get('reason')}] {refused.get('message')}"])
    return READY if _is_true(live, "Established") else Progress(False, ["the definition is not established"])


def ingress(_client: Client, live: Object) -> Progress:
    """An Ingress is ready when a controller has given it an address."""
    if ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return READY
    return Progress(False, ["Ingress .status.loadBalancer field was not updated with a hostname/IP address"])


def quota(_client: Client, live: Object) -> Progress:
    """A ResourceQuota is ready when its limits are in force."""
    same = (live.get("status") or {}).get("hard") == (live.get("spec") or {}).get("hard")
    return READY if same else Progress(False, ["the quota is not in force yet"])


CHECKS: Mapping[tuple[str, str], Check] = {
    ("apps/v1", "DaemonSet"): daemon_set,
    ("apps/v1", "Deployment"): deployment,
    ("apps/v1", "StatefulSet"): stateful_set,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): definition,
    ("batch/v1", "Job"): job,
    ("networking.k8s.io/v1", "Ingress"): ingress,
    ("v1", "Namespace"): _phase("Active"),
    ("v1", "PersistentVolume"): _phase("Available", "Bound"),
    ("v1", "PersistentVolumeClaim"): volume_claim,
    ("v1", "Pod"): pod,
    ("v1", "ResourceQuota"): quota,
    ("v1", "Service"): service,
}


def _expression(text: str) -> Check:
    if text.startswith("jsonpath="):
        path = jsonpath.parse(text)
        return lambda _client, live: READY if path.matches(live) else Progress(False, [f"waiting for {text}"])
    if not text.startswith("condition="):
        raise jsonpath.ExpressionError(f'waitFor {text!r}: expected a "jsonpath=" or "condition=" prefix')
    kind, _, wanted = text.removeprefix("condition=").partition("=")

    def check(_client: Client, live: Object) -> Progress:
        found = _condition(live, kind)
        if str(found.get("status", "")).lower() == (wanted or "True").lower():
            return READY
        why = f"; it is {found['status']}: {found.get('message') or found.get('reason') or ''}" if found else ""
        return Progress(False, [f"waiting for condition {kind}={wanted or 'True'}{why}"])

    return check


def check_for(inputs: Mapping[str, Any]) -> Check | None:
    """Return what to wait for, or None for nothing; raise ExpressionError for a waitFor that cannot be read."""
    if naming.annotation(inputs, naming.SKIP_AWAIT) == "true":
        return None
    expressions = [_expression(text) for text in naming.wait_expressions(inputs)]
    if not expressions:
        return CHECKS.get((str(inputs.get("apiVersion")), str(inputs.get("kind"))))
    return lambda client, live: next(
        (progress for check in expressions if not (progress := check(client, live)).ready), READY
    )
