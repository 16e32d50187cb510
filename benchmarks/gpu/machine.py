"""The machine's NVIDIA GPU, and an interpreter with the wheels of an image for GPUs.

`python -m benchmarks.gpu.machine` names the card, or says that there is none and ends with 3.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import python_of
from model_build.places import ROOT

LOCK = ROOT / "requirements-image-gpu.txt"
NEEDED_BYTES = 6_000_000_000
# Names an interpreter that has the wheels already, on a machine that reaches no package registry.
PYTHON = "MODELSTACK_GPU_PYTHON"
NO_GPU = 3
FIELDS = "name,driver_version,memory.used"
REMEDY = "run this on a machine that has one and its driver"


class NoGpuError(Exception):
    """No NVIDIA GPU is to be had; the message is one line."""


@dataclass(frozen=True)
class Card:
    """A GPU; `used` is its memory in MiB that programs hold."""

    name: str
    driver: str
    used: int


def card() -> Card:
    """Return the first GPU; raises NoGpuError."""
    command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError as error:
        raise NoGpuError(f"no NVIDIA GPU: nvidia-smi is not on PATH; {REMEDY}") from error
    except subprocess.SubprocessError as error:
        raise NoGpuError(f"no NVIDIA GPU: nvidia-smi fails ({error}); {REMEDY}") from error
    name, driver, used = done.stdout.splitlines()[0].split(", ")
    return Card(name, driver, int(used))


def gpu_python() -> Path:
    """Return the interpreter of an environment with what lies in an image for GPUs; raises EnvironmentFault."""
    named = os.environ.get(PYTHON)
    if named:
        return Path(named)
    return python_of("the environment of an image for GPUs", ".venv-image-gpu", LOCK, NEEDED_BYTES)


def main() -> int:
    """Name the card; returns 0, or 3 where there is none."""
    try:
        found = card()
    except NoGpuError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_GPU
    print(f"{found.name}, driver {found.driver}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
