"""Instances of AWS with GPUs of NVIDIA, as `aws ec2 describe-instance-types` tells of them.

Sources: https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html (vCPUs, memory, GPUs and their memory), and
https://developer.nvidia.com/cuda-gpus (compute capability). Parts of a GPU (g6f), ARM (g5g) and
bare metal are left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU."""

    memory: int
    """MiB, as the driver has it: less than the page of the product says."""
    capability: float
    """What it computes, as CUDA counts it."""


@dataclass(frozen=True)
class Instance:
    """A type of instance."""

    name: str
    gpu: str
    gpus: int
    vcpus: int
    memory: int
    """GiB."""

    @property
    def of(self) -> Gpu:
        """What each of its GPUs is."""
        return GPUS[self.gpu]

    @property
    def size(self) -> tuple[int, int, int, str]:
        """By which one is smaller than another: memory of all GPUs, vCPUs, memory."""
        return (self.gpus * self.of.memory, self.vcpus, self.memory, self.name)


GPUS = {
    "T4": Gpu(16384, 7.5),
    "A10G": Gpu(22888, 8.6),
    "L4": Gpu(22888, 8.9),
    "L40S": Gpu(45776, 8.9),
    "RTX PRO 4500": Gpu(32768, 12.0),
    "RTX PRO 6000": Gpu(98304, 12.0),
    "A100": Gpu(40960, 8.0),
    "A100 80GB": Gpu(81920, 8.0),
    "H100": Gpu(81920, 9.0),
    "H200": Gpu(144384, 9.0),
    "B200": Gpu(183359, 10.0),
    "B300": Gpu(275040, 10.3),
}
INSTANCES = tuple(
    Instance(*one)
    for one in (
        ("g4dn.xlarge", "T4", 1, 4, 16),
        ("g4dn.2xlarge", "T4", 1, 8, 32),
        ("g4dn.4xlarge", "T4", 1, 16, 64),
        ("g4dn.8xlarge", "T4", 1, 32, 128),
        ("g4dn.12xlarge", "T4", 4, 48, 192),
        ("g4dn.16xlarge", "T4", 1, 64, 256),
        ("g5.xlarge", "A10G", 1, 4, 16),
        ("g5.2xlarge", "A10G", 1, 8, 32),
        ("g5.4xlarge", "A10G", 1, 16, 64),
        ("g5.8xlarge", "A10G", 1, 32, 128),
        ("g5.12xlarge", "A10G", 4, 48, 192),
        ("g5.16xlarge", "A10G", 1, 64, 256),
        ("g5.24xlarge", "A10G", 4, 96, 384),
        ("g5.48xlarge", "A10G", 8, 192, 768),
        ("g6.xlarge", "L4", 1, 4, 16),
        ("g6.2xlarge", "L4", 1, 8, 32),
        ("g6.4xlarge", "L4", 1, 16, 64),
        ("g6.8xlarge", "L4", 1, 32, 128),
        ("g6.12xlarge", "L4", 4, 48, 192),
        ("g6.16xlarge", "L4", 1, 64, 256),
        ("g6.24xlarge", "L4", 4, 96, 384),
        ("g6.48xlarge", "L4", 8, 192, 768),
        ("gr6.4xlarge", "L4", 1, 16, 128),
        ("gr6.8xlarge", "L4", 1, 32, 256),
        ("g6e.xlarge", "L40S", 1, 4, 32),
        ("g6e.2xlarge", "L40S", 1, 8, 64),
        ("g6e.4xlarge", "L40S", 1, 16, 128),
        ("g6e.8xlarge", "L40S", 1, 32, 256),
        ("g6e.12xlarge", "L40S", 4, 48, 384),
        ("g6e.16xlarge", "L40S", 1, 64, 512),
        ("g6e.24xlarge", "L40S", 4, 96, 768),
        ("g6e.48xlarge", "L40S", 8, 192, 1536),
        ("g7.2xlarge", "RTX PRO 4500", 1, 8, 32),
        ("g7.4xlarge", "RTX PRO 4500", 1, 16, 64),
        ("g7.8xlarge", "RTX PRO 4500", 1, 32, 128),
        ("g7.12xlarge", "RTX PRO 4500", 2, 48, 192),
        ("g7.24xlarge", "RTX PRO 4500", 4, 96, 384),
        ("g7.48xlarge", "RTX PRO 4500", 8, 192, 768),
        ("g7e.2xlarge", "RTX PRO 6000", 1, 8, 64),
        ("g7e.4xlarge", "RTX PRO 6000", 1, 16, 128),
        ("g7e.8xlarge", "RTX PRO 6000", 1, 32, 256),
        ("g7e.12xlarge", "RTX PRO 6000", 2, 48, 512),
        ("g7e.24xlarge", "RTX PRO 6000", 4, 96, 1024),
        ("g7e.48xlarge", "RTX PRO 6000", 8, 192, 2048),
        ("p4d.24xlarge", "A100", 8, 96, 1152),
        ("p4de.24xlarge", "A100 80GB", 8, 96, 1152),
        ("p5.4xlarge", "H100", 1, 16, 256),
        ("p5.48xlarge", "H100", 8, 192, 2048),
        ("p5e.48xlarge", "H200", 8, 192, 2048),
        ("p5en.48xlarge", "H200", 8, 192, 2048),
        ("p6-b200.48xlarge", "B200", 8, 192, 2048),
        ("p6-b300.48xlarge", "B300", 8, 192, 4096),
    )
)
