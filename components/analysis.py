"""AnalysisTemplates of Argo Rollouts: what a new version must hold to before it is promoted.

Fields: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/. What cannot be measured (no data, NaN, no
Prometheus, no answer) counts as failed: there are success conditions alone, so that nothing is left undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import monitoring
from components.check import check_pod, labels_of, url_of
from components.serving_pods import ServingPods

Spec = dict[str, Any]
# Of the golden requests' last answers Prometheus knows after two scrapes.
SETTLE_SECONDS = 2 * monitoring.SCRAPE_SECONDS
# Besides the step itself: its pods start, its check starts, and Prometheus finds both later than that.
WINDOW_SECONDS = 60
# Names of new pods reach Prometheus through caches of DNS: what it does not know yet it is asked for again.
TIMES = 10
START_SECONDS = 120


def agreement(pods: ServingPods, judged: str, stable: str) -> pulumi.Output[Spec]:
    """Return the spec that sends the golden set to both Services for `args.seconds` and compares the answers."""
    least = pods.args.model.rollout.min_agreement
    pod = check_pod(
        pods,
        [
            *("--url", url_of(pods, judged), "--stable", url_of(pods, stable), "--version", pods.version),
            *("--min-agreement", str(least), "--seconds", "{{args.seconds}}"),
        ],
    )
    return pod.apply(lambda spec: _job(spec, labels_of(pods).metadata))


def requests(pods: ServingPods, delay: int) -> pulumi.Output[Spec]:
    """Return the spec that reads error ratio and p99 of the new version's own requests from Prometheus."""
    rollout = pods.args.model.rollout
    return pods.version.apply(
        lambda version: {
            "args": [{"name": "window"}],
            "metrics": [
                _metric("error-ratio", _error_ratio(pods.name, version), rollout.max_error_ratio, delay),
                _metric("p99", _p99(pods.name, version), rollout.max_p99_seconds, delay),
            ],
        }
    )


def template(
    pods: ServingPods, name: str, spec: pulumi.Output[Spec], opts: pulumi.ResourceOptions
) -> k8s.apiextensions.CustomResource:
    """Make an AnalysisTemplate."""
    return k8s.apiextensions.CustomResource(
        name,
        api_version="argoproj.io/v1alpha1",
        kind="AnalysisTemplate",
        metadata={"name": name, "namespace": pods.args.site.namespace, "labels": pods.labels.metadata},
        spec=spec,
        opts=opts,
    )


def _job(pod: Mapping[str, Any], labels: Mapping[str, str]) -> Spec:
    job = {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}}
    metric = {
        "name": "agreement",
        "count": 1,
        **_LIMITS,
        "failureLimit": 0,
        "provider": {"job": {"metadata": {"labels": labels}, "spec": job}},
    }
    return {"args": [{"name": "seconds"}], "metrics": [metric]}


_LIMITS = {"inconclusiveLimit": 0, "consecutiveErrorLimit": 1}


def _metric(name: str, query: str, limit: float, delay: int) -> Spec:
    return {
        "name": name,
        **_LIMITS,
        "initialDelay": f"{delay}s",
        "interval": f"{monitoring.SCRAPE_SECONDS}s",
        "count": TIMES,
        "consecutiveSuccessLimit": 1,
        "failureLimit": TIMES - 1,
        "successCondition": f"len(result) > 0 && !isNaN(result[0]) && result[0] <= {limit}",
        "provider": {
            "prometheus": {"address": f"http://{monitoring.NAME}:{monitoring.PORT}", "query": query, "timeout": 10}
        },
    }


def _error_ratio(model: str, version: str) -> str:
    chosen = f'modelstack_requests_total{{model="{model}",version="{version}"'
    failed, all_of = (_grown(f"sum({chosen}{code}}}%s)", "vector(0)") for code in (',code=~"5.."', ""))
    # A server that started anew counts from zero again: less than before is no data.
    return f"{failed} / ({all_of} > 0)"


def _p99(model: str, version: str) -> str:
    buckets = f'sum by (le) (modelstack_request_seconds_bucket{{model="{model}",version="{version}"}}%s)'
    return f"histogram_quantile(0.99, {_grown(buckets, buckets % '' + ' * 0')})"


def _grown(counted: str, nothing: str) -> str:
    """Return by how much a count grew in the window; rate() would miss what came before the first scrape of a pod."""
    before = counted % " offset {{args.window}}s"
    return f"({counted % ''} - ({before} or {nothing}))"
