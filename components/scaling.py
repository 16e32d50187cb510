"""Scaling: what changes the number of a model's pods while nobody runs `up`.

CPU alone is Kubernetes' own HorizontalPodAutoscaler. Series are KEDA's ScaledObject, which makes a
HorizontalPodAutoscaler itself: CPU beside them is one more trigger of it, since two would undo each other's work.
Fields: https://keda.sh/docs/2.21/reference/scaledobject-spec/.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.autoscaling import v2

from components import monitoring
from components.service import FORCED
from components.serving_pods import ServingPods
from components.wire import wire
from settings import ScaleSettings

Spec = dict[str, Any]
REPLICAS = "spec.replicas"
DEPLOYMENT = ("apps/v1", "Deployment")
WINDOW = "1m"
UP_SECONDS = 15
DOWN_SECONDS = 60
# It goes as soon as a ScaledObject has taken its place, whose admission it must not stand in the way of.
NOT_IN_THE_WAY = {"validations.keda.sh/hpa-ownership": "false"}
# What only wakes a model must not ask for more pods than one.
NEVER = 10**9


def left_to_scaling(pods: ServingPods, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return options that leave the number of pods, once they are made, to what scales them."""
    if pods.args.model.scale is None:
        return opts
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=[REPLICAS]))


def taken_back(pods: ServingPods) -> dict[str, str]:
    """Return the annotations that take the number of pods back from what scaled them before."""
    return {} if pods.args.model.scale else FORCED


def autoscaler(pods: ServingPods, scale: ScaleSettings, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Make what scales the pods: a ScaledObject where series are read, else a HorizontalPodAutoscaler."""
    return _by_series(pods, scale, opts) if scale.by_series else _by_cpu(pods, scale, opts)


def _by_cpu(pods: ServingPods, scale: ScaleSettings, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    target: v2.MetricTargetArgsDict = {"type": "Utilization", "average_utilization": scale.cpu}
    spec: v2.HorizontalPodAutoscalerSpecArgsDict = {
        "scale_target_ref": _workload(pods),
        "min_replicas": scale.min,
        "max_replicas": scale.max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        "behavior": _behavior(scale),
    }
    metadata: k8s.meta.v1.ObjectMetaArgsDict = {**pods.metadata, "annotations": NOT_IN_THE_WAY}
    return v2.HorizontalPodAutoscaler(pods.name, metadata=metadata, spec=spec, opts=opts)


def _by_series(pods: ServingPods, scale: ScaleSettings, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    spec: Spec = {
        "scale_target_ref": _workload(pods),
        "min_replica_count": scale.min,
        "max_replica_count": scale.max,
        "polling_interval": monitoring.SCRAPE_SECONDS,
        # The way from one pod to none, which no HorizontalPodAutoscaler goes.
        "cooldown_period": scale.down_seconds,
        "initial_cooldown_period": scale.down_seconds,
        "advanced": {"horizontal_pod_autoscaler_config": {"behavior": _behavior(scale)}},
        "triggers": _triggers(pods, scale),
    }
    return k8s.apiextensions.CustomResource(
        pods.name,
        api_version="keda.sh/v1alpha1",
        kind="ScaledObject",
        metadata=pods.metadata,
        spec=wire(spec),
        opts=opts,
    )


def _workload(pods: ServingPods) -> v2.CrossVersionObjectReferenceArgsDict:
    version, kind = ("argoproj.io/v1alpha1", "Rollout") if pods.args.model.rollout.by_controller else DEPLOYMENT
    name = f"{pods.name}-predictor" if pods.args.model.serve.by_kserve else pods.name
    return {"api_version": version, "kind": kind, "name": name}


def _behavior(scale: ScaleSettings) -> v2.HorizontalPodAutoscalerBehaviorArgsDict:
    """Return how fast: up at once and to twice as many, or four more; down by a tenth, at least one, a minute."""
    up = [_policy("Percent", 100, UP_SECONDS), _policy("Pods", 4, UP_SECONDS)]
    down = [_policy("Percent", 10, DOWN_SECONDS), _policy("Pods", 1, DOWN_SECONDS)]
    return {
        "scale_up": {"stabilization_window_seconds": 0, "select_policy": "Max", "policies": up},
        "scale_down": {"stabilization_window_seconds": scale.down_seconds, "select_policy": "Max", "policies": down},
    }


def _policy(kind: str, value: int, seconds: int) -> v2.HPAScalingPolicyArgsDict:
    return {"type": kind, "value": value, "period_seconds": seconds}


def _triggers(pods: ServingPods, scale: ScaleSettings) -> list[Spec]:
    model = f'{{model="{pods.name}"}}'
    found: list[Spec] = []
    if scale.waiting is not None:
        found.append(_series(pods, f"sum(modelstack_waiting{model})", scale.waiting))
    if scale.requests is not None:
        found.append(_series(pods, f"sum(rate(modelstack_requests_total{model}[{WINDOW}]))", scale.requests))
    if scale.cpu is not None:
        found.append({"type": "cpu", "metric_type": "Utilization", "metadata": {"value": str(scale.cpu)}})
    if scale.to_zero:
        found.append(_series(pods, _asked(pods.name), NEVER))
    return found


def _asked(name: str) -> str:
    """Return what the gateway tells of a model: requests that came, and those that it holds or that are being answered.

    Without a pod there are no series of the model's own. An answer that takes longer than the window keeps its pod.
    """
    proxies = f'{{proxy=~"{name}[.].+"}}'
    came = f"sum(rate(haproxy_backend_sessions_total{proxies}[{WINDOW}]))"
    return f"{came} + sum(haproxy_backend_current_sessions{proxies})"


def _series(pods: ServingPods, query: str, threshold: int) -> Spec:
    address = pulumi.Output.concat(f"http://{monitoring.NAME}.", pods.args.site.namespace, f".svc:{monitoring.PORT}")
    return {
        "type": "prometheus",
        "metric_type": "AverageValue",
        "metadata": {"serverAddress": address, "query": query, "threshold": str(threshold)},
    }
