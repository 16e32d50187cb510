"""Runs the peers, each in an environment of its own that is made on first use from a hashed lock."""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.environments import peer_python
from model_build.data import Inputs

HERE = Path(__file__).parent
SECONDS = 1800
NEEDED_BYTES = 8_000_000_000  # Olive brings torch


@dataclass(frozen=True)
class Made:
    """What a peer made of a model, and the seconds it took; or the reason why it made nothing."""

    path: Path | None
    seconds: float
    reason: str = ""


def quantized(peer: str, fp32: Path, calibration: Inputs, kind: str, out: Path) -> Made:
    """Return what a peer makes of `fp32`."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "calibration.npz"
        np.savez(samples, inputs=calibration)
        command: list[Path | str] = [
            peer_python(HERE / f"{peer}.txt", NEEDED_BYTES),
            HERE / f"{peer}_program.py",
            fp32,
            samples,
            out,
            kind,
        ]
        began = time.monotonic()
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                cwd=folder,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return Made(None, SECONDS, f"took over {SECONDS} s")
        seconds = time.monotonic() - began
    if done.returncode or not out.is_file():
        said = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no message"]
        return Made(None, seconds, said[-1][:300])
    return Made(out, seconds)
