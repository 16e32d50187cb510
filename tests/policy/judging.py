"""One policy of the pack asked about one resource, or a stack of them, as the engine asks it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pulumi_policy import (
    PolicyResource,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.policy import PolicyCustomTimeouts, PolicyResourceOptions
from pulumi_policy.proxy import unknown_checking_proxy

from policy.pack import Pack

Object = dict[str, Any]
DIGEST = f"registry.example/team/server@sha256:{'a' * 64}"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CONTAINER: Object = {
    "name": "server",
    "image": DIGEST,
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
    "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
}
POD: Object = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [CONTAINER],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}


@dataclass(frozen=True)
class Given:
    """A resource that is asked about."""

    type: str
    properties: Object
    name: str = "thing"
    protect: bool = False
    depends_on: tuple[str, ...] = ()
    """Names of resources of the same stack."""

    @property
    def urn(self) -> str:
        return f"urn:pulumi:stack::project::{self.type}::{self.name}"

    @property
    def options(self) -> PolicyResourceOptions:
        return PolicyResourceOptions(self.protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])

    def having(self, path: str, value: Any) -> Given:
        """The same with one property set to a value, or taken away where that is None."""
        return Given(self.type, changed(self.properties, path, value), self.name, self.protect, self.depends_on)


@dataclass
class Judges:
    """The policies of one stack, which remember what they let pass."""

    config: Mapping[str, Any] = field(default_factory=dict)
    stack: str = "dev"

    def __post_init__(self) -> None:
        texts = {
            f"modelstack:{key}": one if isinstance(one, str) else json.dumps(one) for key, one in self.config.items()
        }
        self._policies = {one.name: one for one in Pack.of(texts, self.stack).policies()}

    @property
    def names(self) -> list[str]:
        return list(self._policies)

    def judge(self, name: str, *given: Given) -> list[str]:
        """What a policy says of each resource, or of the stack that they are."""
        found: list[str] = []
        policy = self._policies[name]

        def report(message: str, _urn: str | None) -> None:
            found.append(message)

        if isinstance(policy, StackValidationPolicy):
            policy.validate(StackValidationArgs(_stack(given)), report)
            return found
        assert isinstance(policy, ResourceValidationPolicy)
        for one in given:
            properties = unknown_checking_proxy(deepcopy(one.properties))
            args = ResourceValidationArgs(one.type, properties, one.urn, one.name, one.options, None)
            policy.validate(args, report)
        return found

    def all_of(self, *given: Given) -> dict[str, list[str]]:
        """What every policy says that says something."""
        said = {name: self.judge(name, *given) for name in self._policies}
        return {name: messages for name, messages in said.items() if messages}


def _stack(given: Iterable[Given]) -> list[PolicyResource]:
    # Of one name there may be several, each of a type of its own.
    pairs = [
        (
            one,
            PolicyResource(
                one.type,
                unknown_checking_proxy(deepcopy(one.properties)),
                one.urn,
                one.name,
                one.options,
                *(None, None, [], {}),
            ),
        )
        for one in given
    ]
    named = {one.name: resource for one, resource in pairs}
    for one, resource in pairs:
        resource.dependencies.extend(named[name] for name in one.depends_on)
    return [resource for _, resource in pairs]


def deployment(name: str = "thing", pod: Object | None = None, **metadata: Any) -> Given:
    """A Deployment that keeps every policy."""
    spec = {"template": {"metadata": {}, "spec": deepcopy(pod or POD)}}
    return Given(DEPLOYMENT, {"metadata": {"namespace": "models", **metadata}, "spec": spec}, name)


CLOSED = Given(
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    {"metadata": {"namespace": "models"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}},
    "default-deny",
)


def changed(document: Object, path: str, value: Any) -> Object:
    """A copy with what lies at `a.b.0.c` set to a value, or taken away where that is None."""
    copied = deepcopy(document)
    *way, last = path.split(".")
    place: Any = copied
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    if value is None:
        place.pop(last, None)
    elif isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return copied
