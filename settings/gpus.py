"""The instance types of EC2 that have NVIDIA GPUs, for x86-64.

Sources: `aws ec2 describe-instance-types`, as moto 5 and Karpenter 1.14's reference of instance types tell it (a test
compares every line); https://developer.nvidia.com/cuda-gpus (compute capability). Fractions of a GPU (g6f), Volta (p3)
and Arm (g5g) are left out: the AMIs' driver or the images of models are not for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ONE = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
Counts = Mapping[str, int]
_G5: Counts = {**dict.fromkeys(ONE, 1), "12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
_G7: Counts = {**dict.fromkeys(("2xlarge", "4xlarge", "8xlarge"), 1), "12xlarge": 2, "24xlarge": 4, "48xlarge": 8}
_EIGHT: Counts = {"48xlarge": 8}


@dataclass(frozen=True)
class Family:
    """Instances that have one kind of GPU."""

    gpu: str
    """The GPU as AWS names it."""
    memory: int
    """MiB of one GPU."""
    counts: Counts
    """Size → GPUs."""
    capability: float
    """What one computes, as CUDA counts it."""
    partitioned: str | None = None
    """The name by which Bottlerocket's settings know the GPU, where it can be cut into instances (MIG)."""


# GPU that can be cut, as Bottlerocket's settings name it → profile of MIG → the parts that a GPU is cut into.
# Source: https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html
_OF_80: Counts = {"1g.10gb": 7, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "4g.40gb": 1, "7g.80gb": 1}
PARTS: Mapping[str, Counts] = {
    "a100.40gb": {"1g.5gb": 7, "1g.10gb": 4, "2g.10gb": 3, "3g.20gb": 2, "4g.20gb": 1, "7g.40gb": 1},
    "a100.80gb": _OF_80,
    "h100.80gb": _OF_80,
    "h200.141gb": {"1g.18gb": 7, "1g.35gb": 4, "2g.35gb": 3, "3g.71gb": 2, "4g.71gb": 1, "7g.141gb": 1},
}

FAMILIES: Mapping[str, Family] = {
    "g4dn": Family("T4", 16384, {**dict.fromkeys(ONE, 1), "12xlarge": 4, "metal": 8}, 7.5),
    "g5": Family("A10G", 22888, _G5, 8.6),
    "g6": Family("L4", 22888, _G5, 8.9),
    "gr6": Family("L4", 22888, dict.fromkeys(("4xlarge", "8xlarge"), 1), 8.9),
    "g6e": Family("L40S", 45776, _G5, 8.9),
    "g7": Family("RTX PRO 4500", 32768, _G7, 12.0),
    "g7e": Family("RTX PRO Server 6000", 98304, _G7, 12.0),
    "p4d": Family("A100", 40960, {"24xlarge": 8}, 8.0, "a100.40gb"),
    "p4de": Family("A100", 81920, {"24xlarge": 8}, 8.0, "a100.80gb"),
    "p5": Family("H100", 81920, {"4xlarge": 1, **_EIGHT}, 9.0, "h100.80gb"),
    "p5e": Family("H200", 144384, _EIGHT, 9.0, "h200.141gb"),
    "p5en": Family("H200", 144384, _EIGHT, 9.0, "h200.141gb"),
    "p6-b200": Family("B200", 183359, _EIGHT, 10.0),
    "p6-b300": Family("B300", 275040, _EIGHT, 10.3),
}


def family_of(instance_type: str) -> Family | None:
    """Return the family of an instance type; None where it has no GPU that is known here."""
    family, _, size = instance_type.partition(".")
    found = FAMILIES.get(family)
    return found if found and size in found.counts else None


def profiles_of(instance_type: str) -> Counts:
    """Return profile of MIG → the parts of a GPU; none where it cannot be cut."""
    found = family_of(instance_type)
    return PARTS[found.partitioned] if found and found.partitioned else {}


def count_of(instance_type: str) -> int:
    """Return how many GPUs an instance type has; 0 where none is known here."""
    found = family_of(instance_type)
    return found.counts[instance_type.partition(".")[2]] if found else 0
