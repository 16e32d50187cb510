"""Wheels laid out in a folder by uv, as a lock names them: nothing resolved, nothing compiled, hashes checked."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UV_SECONDS = 900


def lay_out(requirements: Path, out: Path, options: Sequence[str] = ()) -> str:
    """Lay out what `requirements` lock; returns why that failed, without the index's address, or nothing."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--no-progress"]
    command += ["--target", str(out), "--python", sys.executable, *options]
    command += ["--only-binary", ":all:", "--no-deps", "--link-mode", "copy"]
    command += ["--require-hashes", "--requirement", str(requirements)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=UV_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"uv did not end as it should ({error})"
    said = re.sub(r"https?://\S+", "the package index", " ".join(done.stderr.split()))[-400:]
    return (said or "no message") if done.returncode else ""
