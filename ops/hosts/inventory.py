"""Who the hosts are, in Ansible's groups, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from settings import HostsSettings, WorkersSettings

EVERY, CONTROL_PLANE, WORKERS, GPU = "kubernetes", "control_plane", "workers", "gpu"
POOL = "modelstack.dev/pool"


def inventory(hosts: HostsSettings) -> dict[str, Any]:
    """Return the inventory: control planes, a group for each kind of worker, and those with GPUs once more."""
    pools = {_group(name): _pool(name, one) for name, one in hosts.workers.items()}
    gpus: dict[str, Any] = {_group(name): {} for name, one in hosts.workers.items() if one.gpu}
    cluster = {
        "vars": {"ansible_user": hosts.user},
        "children": {
            CONTROL_PLANE: {"hosts": _addresses(hosts.control_plane)},
            WORKERS: {"children": pools},
            **({GPU: {"children": gpus}} if gpus else {}),
        },
    }
    return {"all": {"children": {EVERY: cluster}}}


def _pool(name: str, workers: WorkersSettings) -> dict[str, Any]:
    labels = {POOL: name, **workers.labels}
    taints = [one.model_dump() for one in workers.kept_away]
    told = {"node_labels": [f"{key}={value}" for key, value in sorted(labels.items())], "node_taints": taints}
    return {"hosts": _addresses(workers.hosts), "vars": told}


def _addresses(hosts: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"ansible_host": address} for name, address in hosts.items()}


def _group(name: str) -> str:
    # Ansible's groups are variables too, which hold no dash.
    return f"{WORKERS}_{name.replace('-', '_')}"
