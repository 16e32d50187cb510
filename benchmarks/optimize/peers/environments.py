"""The environments of the peers: made on first use below the cache, from hashed locks."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_build.data import Inputs
from model_build.errors import EnvironmentFault
from model_build.hashing import hash_file
from model_build.places import cache_root

HERE = Path(__file__).parent
SECONDS = 1800


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
        command: list[Path | str] = [_python(peer), HERE / f"{peer}_program.py", fp32, samples, out, kind]
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


def _python(peer: str) -> Path:
    lock = HERE / f"{peer}.txt"
    home = cache_root() / "benchmarks" / f"{peer}-{hash_file(lock)[:12]}"
    python = home / "bin" / "python"
    if not (home / "ready").is_file():
        shutil.rmtree(home, ignore_errors=True)
        _uv("venv", "--quiet", "--python", sys.executable, str(home))
        _uv("pip", "install", "--quiet", "--require-hashes", "--python", str(python), "--requirement", str(lock))
        (home / "ready").touch()
    return python


def _uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()[-300:]
        raise EnvironmentFault(f"uv {' '.join(arguments[:2])} failed: {said}; check the network")
