"""Bytecode beside the modules of an image: without it a server compiles all that it imports at each of its starts."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from model_build.errors import EnvironmentFault

SECONDS = 600
# A set's constants lie in the order of their hashes.
FIXED = {"PYTHONHASHSEED": "0"}


def compile_below(folder: Path, at: str, python: Path, environment: Mapping[str, str] | None = None) -> None:
    """Compile each module below `folder`, which will lie at /`at` in an image; the same bytes in any folder.

    `python` has the version that the image runs. Raises EnvironmentFault. The bytecode is never held against its source
    (PEP 552, unchecked hash): both are of one layer, and nothing writes to a layer.
    """
    command = [str(python), "-S", "-s", "-P", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", f"/{at}", str(folder)]
    try:
        done = subprocess.run(
            command, env={**FIXED, **(environment or {})}, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"python: {python} cannot compile the modules of /{at} ({error}); mend it") from error
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-400:]
        raise EnvironmentFault(f"python: {python} cannot compile the modules of /{at}: {said}")


def interpreter(version: str) -> Path:
    """Return this machine's Python `version` (3.11), bytecode being that of one minor version; EnvironmentFault."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    command = [sys.executable, "-m", "uv", "python", "find", "--no-config", "--no-python-downloads", version]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise EnvironmentFault(
            f"python {version}: is what the image runs and compiles its modules, and is not found here; "
            f"install it, or run: uv python install {version}"
        )
    return Path(done.stdout.strip())
