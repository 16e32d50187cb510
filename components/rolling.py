"""A Deployment: pods of a new version take the place of the old ones as they get ready."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components.scaling import left_to_scaling, taken_back
from components.serving_pods import ServingPods


def deployment(pods: ServingPods, opts: pulumi.ResourceOptions) -> k8s.apps.v1.Deployment:
    """Make the Deployment; never fewer pods than asked for serve."""
    seconds = pods.args.model.rollout_seconds
    return k8s.apps.v1.Deployment(
        pods.name,
        metadata={
            **pods.versioned,
            # Kubernetes notes a late rollout on the object; `pulumi up` waits no longer for it than that.
            "annotations": {"pulumi.com/timeoutSeconds": str(seconds), **taken_back(pods)},
        },
        spec={
            "replicas": pods.args.model.first,
            "selector": {"match_labels": pods.labels.selector},
            "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}},
            "revision_history_limit": 3,
            "progress_deadline_seconds": seconds,
            "template": pods.template,
        },
        opts=left_to_scaling(pods, opts),
    )
