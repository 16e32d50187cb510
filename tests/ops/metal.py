"""A stack on hosts, as its settings have it."""

from __future__ import annotations

import json
from typing import Any

from settings import HostsSettings

HOSTS: dict[str, Any] = {
    "endpoint": "k8s.example.com",
    "user": "ubuntu",
    "kubernetes": "1.37.2",
    "containerd": "2.2.1",
    "toolkit": "1.18.1",
    "calico": {"version": "v3.31.2", "sha256": "0" * 64},
    "controlPlane": {"cp-0": "10.0.0.10", "cp-1": "10.0.0.11", "cp-2": "10.0.0.12"},
    "workers": {
        "cpu": {"hosts": {"cpu-0": "10.0.0.20", "cpu-1": "10.0.0.21"}},
        "h100-80": {"hosts": {"gpu-0": "10.0.0.30"}, "gpu": True, "labels": {"example.com/rack": "a1"}},
    },
}
KUBECONFIG = "~/.kube/modelstack-metal"


def hosts(**changes: Any) -> HostsSettings:
    """Return settings, as the stack's YAML would have them."""
    return HostsSettings.model_validate_json(json.dumps({**HOSTS, **changes}))


def small() -> HostsSettings:
    """Return one control plane and one worker without GPUs."""
    workers = {"cpu": {"hosts": {"cpu-0": "10.0.0.20"}}}
    return hosts(endpoint="10.0.0.10", controlPlane={"cp-0": "10.0.0.10"}, workers=workers, toolkit=None)
