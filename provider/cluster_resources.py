"""Resource classes for programs: what waits on a cluster, whose login stays with the machine that `up` runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a cluster is reached from where `pulumi up` runs."""

    kubeconfig: pulumi.Input[str]
    """Path of the kubeconfig, or what is in it."""
    context: str | None = None

    @property
    def inputs(self) -> dict[str, pulumi.Input[str] | None]:
        """The inputs by which a resource is told."""
        return {"kubeconfig": self.kubeconfig, "context": self.context}


@dataclass(frozen=True, kw_only=True)
class DefinitionsArgs:
    """Kinds that a controller adds to a cluster."""

    access: Access
    source: pulumi.Input[str]
    """File or https URL of YAML that holds CustomResourceDefinitions; what else it holds is left out."""
    sha256: pulumi.Input[str]


class Definitions(pulumi.CustomResource):
    """Custom kinds, shared by every stack of a cluster: made where nobody has, removed with the last object of them."""

    names: pulumi.Output[list[str]]

    def __init__(self, name: str, args: DefinitionsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {**args.access.inputs, "source": args.source, "sha256": args.sha256}
        super().__init__("modelstack:index:Definitions", name, {"names": None, **inputs}, opts)


@dataclass(frozen=True, kw_only=True)
class PromotionArgs:
    """A Rollout to wait for."""

    access: Access
    namespace: pulumi.Input[str]
    rollout: pulumi.Input[str]
    wanted: pulumi.Input[str]
    """Changes with everything that the Rollout is made of."""
    seconds: int
    """A promotion that takes longer has failed."""


class Promotion(pulumi.CustomResource):
    """A Rollout whose new version serves alone; `up` fails with the reason where it was not promoted."""

    stable: pulumi.Output[str]
    """Pod template hash of what serves."""

    def __init__(self, name: str, args: PromotionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        asked = {"namespace": args.namespace, "rollout": args.rollout, "wanted": args.wanted, "seconds": args.seconds}
        super().__init__("modelstack:index:Promotion", name, {"stable": None, **args.access.inputs, **asked}, opts)


@dataclass(frozen=True, kw_only=True)
class ReadinessArgs:
    """An InferenceService of KServe to wait for."""

    access: Access
    namespace: pulumi.Input[str]
    service: pulumi.Input[str]
    wanted: pulumi.Input[str]
    """The annotation `modelstack.dev/wanted` of the pods that are waited for."""
    replicas: int
    """How many there are of them; 0 where something scales them."""
    seconds: int
    """A wait that takes longer has failed."""


class Readiness(pulumi.CustomResource):
    """An InferenceService whose pods of the new version serve alone; `up` fails with the reason where they do not."""

    def __init__(self, name: str, args: ReadinessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        asked = {"namespace": args.namespace, "service": args.service, "wanted": args.wanted}
        counted = {"replicas": args.replicas, "seconds": args.seconds}
        super().__init__("modelstack:index:Readiness", name, {**args.access.inputs, **asked, **counted}, opts)


@dataclass(frozen=True, kw_only=True)
class SmokeTestArgs:
    """A pod that asks what serves, and ends with exit code 0 where the answers are right."""

    access: Access
    namespace: pulumi.Input[str]
    labels: Mapping[str, str]
    pod: pulumi.Input[Mapping[str, Any]]
    """The pod's spec in Kubernetes' own names."""
    seconds: int
    """A test that takes longer has failed."""


class SmokeTest(pulumi.CustomResource):
    """A test that passed in the cluster; one that fails fails `up` with the pod's last words."""

    def __init__(self, name: str, args: SmokeTestArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        asked = {"namespace": args.namespace, "labels": args.labels, "pod": args.pod, "seconds": args.seconds}
        super().__init__("modelstack:index:SmokeTest", name, {**args.access.inputs, "name": name, **asked}, opts)
