"""What a node with GPUs is told as it boots, beside what EKS or Karpenter tells it.

Sources: https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api (NodeConfig of Amazon Linux 2023),
https://bottlerocket.dev/en/os/1.54.x/api/settings (Bottlerocket).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from settings import GpuPoolSettings
from settings.gpus import family_of

BOUNDARY = "//"
PLUGIN = "settings.kubelet-device-plugins.nvidia"
Table = dict[str, Any]


def user_data(pool: GpuPoolSettings, *, disks: bool = True) -> str | None:
    """Return the user data of a pool's nodes, as text; None where they need none.

    `disks` says whether it sets the instance's own disks up, which Karpenter does by itself.
    """
    if pool.os == "bottlerocket":
        return toml(_settings(pool, disks=disks)) or None
    config = _node_config(pool, disks=disks)
    return None if config is None else _multipart(yaml.safe_dump(config, sort_keys=False))


def _node_config(pool: GpuPoolSettings, *, disks: bool) -> Table | None:
    spec: Table = {}
    if pool.local_disks and disks:
        spec["instance"] = {"localStorage": {"strategy": "RAID0"}}
    if pool.parallel_pull:
        spec["featureGates"] = {"FastImagePull": True}
    return {"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": spec} if spec else None


def _multipart(config: str) -> str:
    """Return a document of one part, to which EKS adds its own."""
    head = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{BOUNDARY}"\n'
    return f"{head}\n--{BOUNDARY}\nContent-Type: application/node.eks.aws\n\n{config}\n--{BOUNDARY}--\n"


def _settings(pool: GpuPoolSettings, *, disks: bool) -> dict[str, Table]:
    """Return table → its keys, of Bottlerocket's settings."""
    return {
        **(_local_disks() if pool.local_disks and disks else {}),
        **(_parallel_pull() if pool.parallel_pull else {}),
        **_shared(pool),
    }


def _local_disks() -> dict[str, Table]:
    # Without --dirs it binds what holds images, pods and logs, whichever snapshotter there is.
    commands = [["apiclient", "ephemeral-storage", one] for one in ("init", "bind")]
    return {"settings.bootstrap-commands.local-disks": {"commands": commands, "mode": "always", "essential": True}}


def _parallel_pull() -> dict[str, Table]:
    return {
        "settings.container-runtime": {"snapshotter": "soci"},
        "settings.container-runtime-plugins.soci-snapshotter": {"pull-mode": "parallel-pull-unpack"},
    }


def _shared(pool: GpuPoolSettings) -> dict[str, Table]:
    """Return how GPUs are shared; Bottlerocket brings NVIDIA's device plugin itself."""
    share = pool.share
    if share is None:
        return {}
    if share.by == "mig":
        families = filter(None, map(family_of, pool.types))
        profiles = {one.partitioned: share.profile for one in families if one.partitioned}
        return {PLUGIN: {"device-partitioning-strategy": "mig"}, f"{PLUGIN}.mig.profile": profiles}
    strategy = "time-slicing" if share.by == "timeSlicing" else "mps"
    told: Table = {"replicas": share.replicas, "rename-by-default": True}
    return {PLUGIN: {"device-sharing-strategy": strategy}, f"{PLUGIN}.{strategy}": told}


def toml(tables: Mapping[str, Table]) -> str:
    """Return tables as TOML; of texts, numbers, truths and lists JSON's spelling is TOML's."""
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()), ""])
        for name, table in tables.items()
    )
