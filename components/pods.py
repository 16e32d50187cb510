"""What every pod of a stack has in common: the restricted security profile, probes, quantities."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi_kubernetes as k8s

from components.labels import Labels
from settings import Resources

USER = 65532
PROBE_SECONDS = 5
ZONE = "topology.kubernetes.io/zone"
TOPOLOGIES = (ZONE, "kubernetes.io/hostname")
# What tells the pods of one version from those of another: a Deployment's label, and a Rollout's.
HASHES = ("pod-template-hash", "rollouts-pod-template-hash")


def pod_security() -> k8s.core.v1.PodSecurityContextArgsDict:
    """Return a pod's security context."""
    return {
        "run_as_non_root": True,
        "run_as_user": USER,
        "run_as_group": USER,
        "fs_group": USER,
        "seccomp_profile": {"type": "RuntimeDefault"},
    }


def container_security() -> k8s.core.v1.SecurityContextArgsDict:
    """Return a container's security context."""
    return {
        "allow_privilege_escalation": False,
        "read_only_root_filesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def spread(
    labels: Labels, replicas: int, topologies: Sequence[str] = TOPOLOGIES
) -> list[k8s.core.v1.TopologySpreadConstraintArgsDict] | None:
    """Return what keeps the replicas of one version apart where there is room for it; None for at most one."""
    if replicas < 2:
        return None
    return [
        {
            "max_skew": 1,
            "topology_key": topology,
            "when_unsatisfiable": "ScheduleAnyway",
            "label_selector": {"match_labels": labels.selector},
            "match_label_keys": list(HASHES),
        }
        for topology in topologies
    ]


def http_probe(path: str, *, period: int, failures: int, port: str = "http") -> k8s.core.v1.ProbeArgsDict:
    """Return a probe of the port of that name; `period` in seconds."""
    return {
        "http_get": {"path": path, "port": port},
        "period_seconds": period,
        # A process with more to do than its share of CPU answers late: to end it would make that worse.
        "timeout_seconds": min(period, PROBE_SECONDS),
        "failure_threshold": failures,
    }


def quantities(resources: Resources) -> k8s.core.v1.ResourceRequirementsArgsDict:
    """Return requests and limits."""
    return {
        "requests": {"cpu": resources.cpu_request, "memory": resources.memory_request},
        "limits": {"cpu": resources.cpu_limit, "memory": resources.memory_limit},
    }
