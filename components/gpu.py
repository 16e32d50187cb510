"""Nodes with GPUs as pods see them: the label of a pool and its taint."""

from __future__ import annotations

from typing import TypedDict

import pulumi_kubernetes as k8s

from components.labels import OWN
from settings.node_pools import GPU

POOL = f"{OWN}/gpu-pool"
TAINT = GPU


class Placed(TypedDict):
    """What a pod's spec says of the nodes that it runs on."""

    node_selector: dict[str, str]
    tolerations: list[k8s.core.v1.TolerationArgsDict]


def tolerations() -> list[k8s.core.v1.TolerationArgsDict]:
    """Return what lets a pod onto nodes with GPUs."""
    return [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}]


def on(pool: str) -> Placed:
    """Return what puts a pod onto the nodes of a pool."""
    return {"node_selector": {POOL: pool}, "tolerations": tolerations()}
