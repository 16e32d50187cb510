"""Who holds a stack whose state lies in a folder: the engine's lock files there, and whether their processes live."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

# A lock is written moments after its process starts; the kernel tells its boot time to a second.
CLOCK_SECONDS = 2.0
ENGINE = "pulumi"


@dataclass(frozen=True)
class Holder:
    """A process that took the stack's lock."""

    pid: int
    user: str
    host: str
    since: datetime

    def __str__(self) -> str:
        return (
            f"process {self.pid} of {self.user}@{self.host}, since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )

    def may_live(self) -> bool:
        """Return whether the process lives; one on another host cannot be seen from here and counts as alive."""
        if self.host != socket.gethostname():
            return True
        started = process_start(self.pid)
        if started is None:
            return False
        # Another program that was given the same number later is not the holder. An engine is taken for it always:
        # a clock that was set back must not make a live holder look dead.
        return _program(self.pid) == ENGINE or started <= self.since.timestamp() + CLOCK_SECONDS


def holders(backend: str, project: str, stack: str) -> list[Holder]:
    """Return who holds the stack; empty for a backend that is no folder, for the engine checks those itself."""
    root = state_folder(backend)
    if root is None:
        return []
    name = stack.rpartition("/")[2]
    locks = root / ".pulumi" / "locks"
    folders = (locks / "organization" / project / name, locks / name)
    return [_holder(path) for folder in folders for path in sorted(folder.glob("*.json"))]


def process_start(pid: int) -> float | None:
    """Return when a process started, in seconds since the epoch; None where none lives under that number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in ("Z", "X"):
        return None
    return _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _boot_time() -> float:
    lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("btime ")))


def state_folder(backend: str) -> Path | None:
    """Return the folder of a `file://` backend; None for another."""
    parts = urlsplit(backend)
    if parts.scheme != "file":
        return None
    return Path(unquote(parts.netloc + parts.path)).expanduser()


def _holder(path: Path) -> Holder:
    try:
        content = json.loads(path.read_bytes())
        since = datetime.fromisoformat(content["timestamp"])
        return Holder(int(content["pid"]), str(content["username"]), str(content["hostname"]), since)
    except (ValueError, KeyError, TypeError):
        # A lock whose writer was killed within the write names nobody.
        return Holder(0, "unknown", socket.gethostname(), datetime.fromtimestamp(path.stat().st_mtime, UTC))
