"""What objects of a cluster cost: balancers, volumes, and pods by what they request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from cost.kinds import CHARTS, ENDING, KSERVE, LASTING, ROOMS
from cost.lines import GIB, LOAD, UNKNOWN, Around, Declared, Sum
from cost.values import amount, at, has_unknown, is_unknown, items, number

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class _Pods:
    """Pods of one template; whatever is not known stays as it is."""

    containers: Any
    times: Any
    """None where nothing says how many: it is one then."""


def of_cluster(around: Around, one: Declared, found: Sum) -> None:
    """Count an object, or name what of it is not counted."""
    spec = at(one.properties, "spec")
    if one.type.startswith(CHARTS):
        found.lack("what the chart brings")
    elif one.kind == "Service":
        _service(spec, found)
    elif one.kind == "PersistentVolumeClaim":
        _claim(spec, 1, found)
    elif one.type.startswith("kubernetes:karpenter.sh/") and one.kind == "NodePool":
        found.lack(LOAD)
    elif one.kind in ENDING:
        found.missing += [] if _paid(around, found) else ["while it runs"]
    elif one.kind in LASTING:
        _workload(around, one, spec, found)
    elif one.kind == "InferenceService" and KSERVE in one.type:
        _served(around, spec, found)


def _service(spec: Any, found: Sum) -> None:
    kind = at(spec, "type")
    if is_unknown(kind):
        found.lack(UNKNOWN)
    elif kind == "LoadBalancer":
        found.add("network-load-balancer", what="its load balancer")


def _claim(spec: Any, times: float, found: Sum) -> None:
    size = at(spec, "resources", "requests", "storage")
    if is_unknown(size):
        found.lack(UNKNOWN)
        return
    found.add("storage", amount(size) / GIB * times, what="its volume")


def _workload(around: Around, one: Declared, spec: Any, found: Sum) -> None:
    claims, times = at(spec, "volumeClaimTemplates"), at(spec, "replicas")
    for claim in items(claims):
        _claim(at(claim, "spec"), _times(times), found)
    if one.kind == "StatefulSet" and is_unknown(claims):
        found.lack(UNKNOWN)
    if one.kind == "DaemonSet":
        if around.nodes is None:
            found.missing += [] if _paid(around, found) else ["pods on nodes that are not counted"]
            return
        times = around.nodes
    _pods(around, _Pods(at(spec, "template", "spec", "containers"), times), found)


def _served(around: Around, spec: Any, found: Sum) -> None:
    for room in (at(spec, key) for key in ROOMS):
        if is_unknown(room):
            _pods(around, _Pods(room, room), found)
        elif room is not None:
            _room(around, room, found)


def _room(around: Around, room: Any, found: Sum) -> None:
    # A predictor may name its framework in place of containers.
    named = [value for value in room.values() if at(value, "resources")] if isinstance(room, Mapping) else []
    listed, times, worker = (at(room, key) for key in ("containers", "minReplicas", "workerSpec"))
    head = listed if is_unknown(listed) else [*items(listed), *named]
    if not named and at(room, "model") is not None and not _paid(around, found):
        found.lack("what its runtime requests")
    _pods(around, _Pods(head, times), found)
    if worker is not None:
        _workers(around, worker, head, times, found)


def _workers(around: Around, worker: Any, head: Any, times: Any, found: Sum) -> None:
    """Count the pods beside the head: KServe makes as many as the GPUs of one leave to be shared."""
    sizes = [number(at(worker, key)) for key in ("tensorParallelSize", "pipelineParallelSize")]
    each = sum(asked_by(one).get(GPU, 0.0) for one in items(head))
    if None in sizes or not each:
        found.missing += [] if _paid(around, found) else ["its workers"]
        return
    beside = ceil((sizes[0] or 0) * (sizes[1] or 0) / each) - 1
    _pods(around, _Pods(at(worker, "containers"), times if is_unknown(times) else beside * _times(times)), found)


def _pods(around: Around, pods: _Pods, found: Sum) -> None:
    resources = [at(one, "resources") for one in items(pods.containers)]
    unknown = is_unknown(pods.containers) or is_unknown(pods.times) or any(map(has_unknown, resources))
    if unknown and not _paid(around, found):
        found.lack(UNKNOWN)
    for container in items(pods.containers):
        for key, value in asked_by(container).items():
            if key in found.prices or not (around.has_nodes or key == "ephemeral-storage"):
                found.add(key, value * _times(pods.times), what=f"{key} of pods")


def _paid(around: Around, found: Sum) -> bool:
    """Return whether pods cost nothing beside the machines that they run on."""
    return around.has_nodes and not {"cpu", "memory"} & set(found.prices)


def _times(said: Any) -> float:
    found = number(said)
    return 1.0 if found is None else found


def asked_by(container: Any) -> dict[str, float]:
    """Return what a container requests: cores, GiB of memory, a number of anything else; what is limited too."""
    whole = {**_amounts(at(container, "resources", "limits")), **_amounts(at(container, "resources", "requests"))}
    return {key: value / GIB if key == "memory" else value for key, value in whole.items()}


def _amounts(found: Any) -> dict[str, float]:
    return {key: amount(value) for key, value in found.items()} if isinstance(found, Mapping) else {}
