"""Processes as this machine sees them: their memory, and which are of a pod of the embedded platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def processes(pod: dict[str, Any], program: str) -> list[int]:
    """Return the ids of a pod's processes whose command names `program`."""
    found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _is_of(folder, pod["metadata"]["uid"])]
    return sorted(one for one in found if program in _command(one))


def resident(process: int) -> int:
    """Return the bytes of memory that a process holds."""
    return _memory(process, "VmRSS")


def peak(process: int) -> int:
    """Return the most bytes of memory that a process has held."""
    return _memory(process, "VmHWM")


def _memory(process: int, key: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1]) << 10


def _is_of(folder: Path, uid: str) -> bool:
    try:
        return f"pod{uid}/" in (folder / "cgroup").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
