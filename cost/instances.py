"""The instances of settings/gpus.py by size: which one is smaller than another.

Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html; a test compares every line with what
`aws ec2 describe-instance-types` tells. Bare metal is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from settings.gpus import FAMILIES, Family

# Type → vCPUs, and GiB of memory.
SIZES: Mapping[str, tuple[int, int]] = {
    "g4dn.xlarge": (4, 16),
    "g4dn.2xlarge": (8, 32),
    "g4dn.4xlarge": (16, 64),
    "g4dn.8xlarge": (32, 128),
    "g4dn.12xlarge": (48, 192),
    "g4dn.16xlarge": (64, 256),
    "g5.xlarge": (4, 16),
    "g5.2xlarge": (8, 32),
    "g5.4xlarge": (16, 64),
    "g5.8xlarge": (32, 128),
    "g5.12xlarge": (48, 192),
    "g5.16xlarge": (64, 256),
    "g5.24xlarge": (96, 384),
    "g5.48xlarge": (192, 768),
    "g6.xlarge": (4, 16),
    "g6.2xlarge": (8, 32),
    "g6.4xlarge": (16, 64),
    "g6.8xlarge": (32, 128),
    "g6.12xlarge": (48, 192),
    "g6.16xlarge": (64, 256),
    "g6.24xlarge": (96, 384),
    "g6.48xlarge": (192, 768),
    "gr6.4xlarge": (16, 128),
    "gr6.8xlarge": (32, 256),
    "g6e.xlarge": (4, 32),
    "g6e.2xlarge": (8, 64),
    "g6e.4xlarge": (16, 128),
    "g6e.8xlarge": (32, 256),
    "g6e.12xlarge": (48, 384),
    "g6e.16xlarge": (64, 512),
    "g6e.24xlarge": (96, 768),
    "g6e.48xlarge": (192, 1536),
    "g7.2xlarge": (8, 32),
    "g7.4xlarge": (16, 64),
    "g7.8xlarge": (32, 128),
    "g7.12xlarge": (48, 192),
    "g7.24xlarge": (96, 384),
    "g7.48xlarge": (192, 768),
    "g7e.2xlarge": (8, 64),
    "g7e.4xlarge": (16, 128),
    "g7e.8xlarge": (32, 256),
    "g7e.12xlarge": (48, 512),
    "g7e.24xlarge": (96, 1024),
    "g7e.48xlarge": (192, 2048),
    "p4d.24xlarge": (96, 1152),
    "p4de.24xlarge": (96, 1152),
    "p5.4xlarge": (16, 256),
    "p5.48xlarge": (192, 2048),
    "p5e.48xlarge": (192, 2048),
    "p5en.48xlarge": (192, 2048),
    "p6-b200.48xlarge": (192, 2048),
    "p6-b300.48xlarge": (192, 4096),
}


@dataclass(frozen=True)
class Instance:
    """A type of instance."""

    name: str
    vcpus: int
    memory: int
    """GiB."""

    @property
    def family(self) -> Family:
        """What its GPUs are."""
        return FAMILIES[self.name.partition(".")[0]]

    @property
    def gpus(self) -> int:
        """How many it has."""
        return self.family.counts[self.name.partition(".")[2]]

    @property
    def size(self) -> tuple[int, int, int, str]:
        """By which one is smaller than another: memory of all GPUs, vCPUs, memory."""
        return (self.gpus * self.family.memory, self.vcpus, self.memory, self.name)


INSTANCES = tuple(Instance(name, *size) for name, size in SIZES.items())
