"""What a stack's network policies let through, worked out as Kubernetes documents it: both ends must allow a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.components.programs import Object, Run

ANY = "any port"


@dataclass(frozen=True)
class Pod:
    """One kind of pod of a stack."""

    name: str
    labels: Object
    spec: Object
    ends: bool = False
    """Whether it runs to an end, as a check does."""
    replicas: int = 1

    @property
    def ports(self) -> set[str]:
        """The names of its ports."""
        return {port["name"] for one in self.spec["containers"] for port in one.get("ports", [])}


def pods_of(run: Run) -> list[Pod]:
    """Return every kind of pod that a stack may run."""
    found = [pod for one in run.made for pod in _pods(one.inputs)]
    checks = [Pod(_name(one["labels"]), one["labels"], one["pod"], ends=True) for one in run.of("SmokeTest").values()]
    return [*found, *checks]


def _pods(inputs: Object) -> Iterator[Pod]:
    kind, spec = inputs.get("kind"), inputs.get("spec", {})
    if kind in ("Deployment", "StatefulSet", "Rollout"):
        template = spec["template"]
        labels = template["metadata"]["labels"]
        yield Pod(_name(labels), labels, template["spec"], replicas=spec["replicas"])
    if kind == "InferenceService":
        yield from _of_kserve(inputs["metadata"]["labels"], spec["predictor"])
    if kind == "AnalysisTemplate":
        for metric in spec["metrics"]:
            if "job" in metric["provider"]:
                template = metric["provider"]["job"]["spec"]["template"]
                labels = template["metadata"]["labels"]
                yield Pod(_name(labels), labels, template["spec"], ends=True)


def _of_kserve(labels: Object, predictor: Object) -> Iterator[Pod]:
    """Yield the pods that KServe makes, without what its runtimes and its webhook add to them."""
    labels = {**labels, **predictor["labels"]}
    not_pods = ("model", "workerSpec", "labels", "annotations", "minReplicas", "maxReplicas", "deploymentStrategy")
    beside = ("modelFormat", "runtime", "protocolVersion", "storageUri")
    container = {key: one for key, one in predictor["model"].items() if key not in beside}
    spec = {key: one for key, one in predictor.items() if key not in not_pods}
    head = {**spec, "containers": [{"name": "kserve-container", **container}]}
    yield Pod(_name(labels), labels, head, replicas=predictor["minReplicas"])
    if "workerSpec" in predictor:
        sizes = ("tensorParallelSize", "pipelineParallelSize")
        worker = {key: one for key, one in predictor["workerSpec"].items() if key not in sizes}
        yield Pod(f"{_name(labels)}-worker", labels, worker)


def _name(labels: Object) -> str:
    return str(labels["app.kubernetes.io/name"])


def policies_of(run: Run, pod: Pod) -> list[Object]:
    """Return the policies that choose a pod."""
    found = [one["spec"] for one in run.of("NetworkPolicy").values()]
    return [one for one in found if one["podSelector"].get("matchLabels", {}).items() <= pod.labels.items()]


def flows(run: Run) -> set[str]:
    """Return every flow that is let through, as `who -> whom:port`."""
    pods = pods_of(run)
    inside = {
        f"{source.name} -> {target.name}:{port}"
        for source in pods
        for target in pods
        for port in target.ports
        if _lets(run, source, target, port, "egress") and _lets(run, target, source, port, "ingress")
    }
    ingress = {f"{who} -> {pod.name}:{port}" for pod in pods for who, port in _outside(run, pod, "ingress")}
    egress = {f"{pod.name} -> {whom}:{port}" for pod in pods for whom, port in _outside(run, pod, "egress")}
    return inside | ingress | egress


def _rules(run: Run, pod: Pod, way: str) -> Iterator[Object]:
    for policy in policies_of(run, pod):
        yield from policy.get(way) or []


def _lets(run: Run, pod: Pod, other: Pod, port: str, way: str) -> bool:
    side = "to" if way == "egress" else "from"
    return any(
        port in _ports(rule) | ({port} if ANY in _ports(rule) else set())
        and any(_is(peer, other) for peer in rule.get(side, [{"namespaceSelector": {}}]))
        for rule in _rules(run, pod, way)
    )


def _is(peer: Object, pod: Pod) -> bool:
    if "namespaceSelector" in peer:
        return bool(peer["namespaceSelector"] == {})
    return "podSelector" in peer and peer["podSelector"].get("matchLabels", {}).items() <= pod.labels.items()


def _ports(rule: Object) -> set[str]:
    # Numbers come from the engine as floats.
    told = (one["port"] for one in rule.get("ports", []))
    return {one if isinstance(one, str) else str(int(one)) for one in told} or {ANY}


def _outside(run: Run, pod: Pod, way: str) -> Iterator[tuple[str, str]]:
    side = "to" if way == "egress" else "from"
    for rule in _rules(run, pod, way):
        for peer in rule.get(side, [None]):
            for port in _ports(rule):
                if name := _outsider(peer):
                    yield name, port


def _outsider(peer: Object | None) -> str | None:
    if peer is None:
        return "anyone"
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    if "namespaceSelector" not in peer:
        return None
    chosen = peer["namespaceSelector"].get("matchExpressions")
    return f"namespaces {','.join(chosen[0]['values'])}" if chosen else "all namespaces"
