"""A Rollout of Argo: a new version is judged on a part of the traffic, or before it gets any, and promoted or aborted.

Fields: https://argo-rollouts.readthedocs.io/en/stable/features/specification/.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import analysis, runtime
from components.fingerprint import fingerprint
from components.labels import OWN
from components.scaling import left_to_scaling, taken_back
from components.service import MANAGED, SELECTOR, service_ports
from components.serving_pods import ServingPods
from components.wire import wire
from provider.cluster_resources import Promotion, PromotionArgs
from settings import StepSettings

Spec = dict[str, Any]
ROLES = ("stable", "canary")
# A stage beyond what is configured: pods that start, the check's pod, the measurements.
STAGE_SECONDS = 120


def promotion(pods: ServingPods, opts: pulumi.ResourceOptions) -> Promotion:
    """Make the Rollout with its Services and templates; the resource that is ready once the version serves alone."""
    opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(pods.args.controller)))
    canary = pods.args.model.rollout.strategy == "canary"
    judged, stable = (f"{pods.name}-canary", f"{pods.name}-stable") if canary else (f"{pods.name}-preview", pods.name)
    services = [_service(pods, name, opts) for name in (judged, stable) if name != pods.name]
    last = pods.args.model.rollout.stages[-1]
    delay = analysis.SETTLE_SECONDS + (0 if canary else last.seconds)
    specs = {
        f"{pods.name}-agreement": analysis.agreement(pods, judged, stable),
        f"{pods.name}-requests": analysis.requests(pods, delay),
    }
    templates = [analysis.template(pods, name, spec, opts) for name, spec in specs.items()]
    strategy = _canary(pods, judged, stable) if canary else _blue_green(pods, judged)
    spec = wire(_spec(pods, strategy))
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[*services, *templates]))
    rollout = k8s.apiextensions.CustomResource(
        pods.name,
        api_version="argoproj.io/v1alpha1",
        kind="Rollout",
        metadata={**pods.versioned, "annotations": taken_back(pods)},
        spec=spec,
        opts=left_to_scaling(pods, after),
    )
    return _wait(pods, pulumi.Output.all(spec, *specs.values()), rollout, opts)


def _wait(
    pods: ServingPods, made_of: pulumi.Output[Any], rollout: pulumi.Resource, opts: pulumi.ResourceOptions
) -> Promotion:
    model = pods.args.model
    stages = model.rollout.stages
    args = PromotionArgs(
        access=pods.args.site.access,
        namespace=pods.args.site.namespace,
        rollout=pods.name,
        wanted=made_of.apply(fingerprint),
        seconds=(len(stages) + 1) * model.rollout_seconds + sum(one.seconds + STAGE_SECONDS for one in stages),
    )
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[rollout]))
    return Promotion(pods.name, args, after)


def _spec(pods: ServingPods, strategy: Spec) -> Spec:
    model = pods.args.model
    return {
        "replicas": model.first,
        "selector": {"matchLabels": pods.labels.selector},
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": model.rollout_seconds,
        # A version that does not get ready is taken away, as one that fails its analysis.
        "progressDeadlineAbort": True,
        "analysis": {"successfulRunHistoryLimit": 2, "unsuccessfulRunHistoryLimit": 3},
        "template": pods.template,
        "strategy": strategy,
    }


def _canary(pods: ServingPods, canary: str, stable: str) -> Spec:
    steps = [step for stage in pods.args.model.rollout.stages for step in _steps(pods.name, stage)]
    # Without a router of traffic the weights are shares of pods; never fewer than asked for serve.
    counts = {"maxUnavailable": 0, "maxSurge": 1}
    roles = {f"{role}Metadata": {"labels": labelled(role)} for role in ROLES}
    return {"canary": {**counts, **roles, "canaryService": canary, "stableService": stable, "steps": steps}}


def labelled(role: str) -> dict[str, str]:
    """Return the label that the controller gives to pods of this role, and takes from them with it."""
    return {f"{OWN}/role": role}


def _steps(name: str, stage: StepSettings) -> list[Spec]:
    # First answers, then series: the golden set is traffic too, so that a quiet stack has something to measure.
    judged = (_analysis(stage, f"{name}-agreement"), _analysis(stage, f"{name}-requests"))
    return [{"setWeight": stage.weight}, *({"analysis": one} for one in judged)]


def _blue_green(pods: ServingPods, preview: str) -> Spec:
    (stage,) = pods.args.model.rollout.stages
    before = _analysis(stage, f"{pods.name}-agreement", f"{pods.name}-requests")
    switch = {"activeService": pods.name, "previewService": preview, "autoPromotionEnabled": True}
    return {"blueGreen": {**switch, "scaleDownDelaySeconds": 30, "prePromotionAnalysis": before}}


def _analysis(stage: StepSettings, *templates: str) -> Spec:
    told = {"seconds": str(stage.seconds), "window": str(stage.seconds + analysis.WINDOW_SECONDS)}
    wanted = {"agreement": "seconds", "requests": "window"}
    keys = [wanted[name.rpartition("-")[2]] for name in templates]
    return {
        "templates": [{"templateName": name} for name in templates],
        "args": [{"name": key, "value": told[key]} for key in keys],
    }


def _service(pods: ServingPods, name: str, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Make a Service whose pods the controller chooses."""
    return k8s.core.v1.Service(
        name,
        metadata={**pods.metadata, "name": name, "annotations": MANAGED},
        spec={
            "selector": pods.labels.selector,
            "ports": pods.told(lambda told: service_ports(runtime.asked(told))),
        },
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=[SELECTOR])),
    )
