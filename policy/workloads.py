"""What keeps workloads alive and apart: requests and limits, probes, careful rollouts, objectives, network policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.images import MODEL_IMAGE
from policy.node import Node
from policy.pods import namespace_of, pods_of
from policy.rule import Facts, Finding, Resource, Rule, StackRule, bad

AMOUNTS = (("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory"))
PROBES = ("readinessProbe", "livenessProbe")
MODEL = "modelstack.dev/model"
ROLLING = ("Deployment", "StatefulSet", "DaemonSet", "InferenceService")
PROGRESSIVE = "set rollout: {strategy: canary} or {strategy: blueGreen} of the model (docs/rollouts.md)"


def requests_and_limits(resource: Resource, _facts: Facts) -> Iterator[Finding]:
    """Find containers that the scheduler cannot count, or that may take a node's all."""
    for pods in pods_of(resource):
        for container in pods.containers:
            resources = container.at("resources")
            lacking = [".".join(keys) for keys in AMOUNTS if resources.at(*keys).absent]
            if lacking:
                yield Finding(
                    resources.path, f"has no {', '.join(lacking)}", "set them, as cpu: 100m and memory: 256Mi"
                )


def probes(resource: Resource, _facts: Facts) -> Iterator[Finding]:
    """Find containers that nobody notices the end of, or that are asked before they can answer."""
    for pods in pods_of(resource):
        if pods.lasting:
            for container in pods.own:
                yield from _probes(container)


def _probes(container: Node) -> Iterator[Finding]:
    for key in PROBES:
        if container.at(key).absent:
            yield bad(container.at(key), "add one; without it a pod that hangs goes on being asked")


def canary(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find models in production whose new version is given all the traffic at once."""
    if not facts.prod or resource.at("metadata", "labels", MODEL).absent:
        return
    if resource.kind in ROLLING:
        yield Finding("kind", f"{resource.kind} rolls a new version out without comparing it", PROGRESSIVE)
    elif resource.kind == "Rollout":
        strategy = resource.at("spec", "strategy")
        if strategy.at("canary", "steps").absent and strategy.at("blueGreen").absent:
            yield bad(strategy, PROGRESSIVE, "has no steps")


def objective(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find models in production of which nobody has said how well they must be served."""
    if facts.prod and resource.type == MODEL_IMAGE and resource.name not in facts.objectives:
        key = f"modelstack:models.{resource.name}.slo"
        yield Finding(key, "is missing", "set {availability: 0.999, p99Seconds: 0.5}, or what users may rely on")


def network_policy(resources: Sequence[Resource], _facts: Facts) -> Iterator[Finding]:
    """Find namespaces in which a pod that no policy names may be reached by anyone."""
    closed = {_namespace(one) for one in resources if _denies(one)}
    # What is not known yet may be any namespace.
    if "" in closed:
        return
    open_: dict[str, Resource] = {}
    for one in resources:
        if pods_of(one) and _namespace(one) and _namespace(one) not in closed:
            open_.setdefault(_namespace(one), one)
    for namespace, one in sorted(open_.items()):
        problem = f"{namespace!r} has no NetworkPolicy that selects all pods"
        remedy = "add one with podSelector {} and policyTypes [Ingress, Egress]"
        yield Finding(namespace_of(one).path, problem, remedy, one, subject=namespace)


def _denies(resource: Resource) -> bool:
    if not resource.type.endswith(":NetworkPolicy"):
        return False
    selector, types = resource.at("spec", "podSelector"), resource.at("spec", "policyTypes")
    selects_all = all(not node.value for _, node in selector.entries())
    return selects_all and (types.absent or not types.known or "Ingress" in types.value)


def _namespace(resource: Resource) -> str:
    found = namespace_of(resource)
    return found.text or ("default" if found.absent else "")


RULES = (
    Rule("requests-and-limits", "Containers have requests and limits", "mandatory", requests_and_limits),
    Rule("probes", "Containers that go on running have a readiness and a liveness probe", "mandatory", probes),
    Rule(
        "canary-in-prod", "New versions of models in prod are compared before they get all traffic", "mandatory", canary
    ),
    Rule("slo-in-prod", "Models in prod have an objective", "mandatory", objective),
)
STACK_RULES = (
    StackRule("network-policy", "Namespaces with pods deny what no policy names", "mandatory", network_policy),
)
