"""When a pod's parts were done: by the kubelet's events, the process itself and the server's log."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.serve.serving import FailedError

# The kubelet writes no other measure of a pull than this event.
PULLED = re.compile(r"Successfully pulled image .* in ([0-9a-z.]+) \(.*Image size: (\d+) bytes")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Timeline:
    """Seconds since the pod was asked for; `pull` is how long the image took, of `size` bytes compressed or not."""

    pull: float
    size: int
    container: float
    listening: float
    ready: float
    answer: float


def timeline(pod: dict[str, Any], events: Iterable[dict[str, Any]], log: str, asked: float, answer: float) -> Timeline:
    """Return the timeline of a pod that was asked for at `asked` and answered at `answer`; raises FailedError."""
    pull, size = _pulled(events)
    process = _process(pod["metadata"]["uid"])
    return Timeline(pull, size, process - asked, _logged(log, "listening") - asked, _logged(log, "model ready") - asked,
                    answer - asked)  # fmt: skip


def _pulled(events: Iterable[dict[str, Any]]) -> tuple[float, int]:
    for event in events:
        if found := PULLED.search(event.get("message", "")):
            return _seconds(found[1]), int(found[2])
    raise FailedError("no event says that the image was pulled: the node had it")


def _seconds(text: str) -> float:
    """Return seconds of a duration as Go writes it."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m)", text))


def _process(uid: str) -> float:
    """Return when the server of a pod was started; the embedded platform's processes are this machine's too."""
    for cgroup in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            command = (cgroup.parent / "cmdline").read_bytes()
            if uid in cgroup.read_text() and b"model_server" in command:
                ticks = int((cgroup.parent / "stat").read_text().rpartition(")")[2].split()[19])
                booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
                return booted + ticks / os.sysconf("SC_CLK_TCK")
    raise FailedError(f"pod {uid}: its server is no process of this machine")


def _logged(log: str, message: str) -> float:
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if told.get("message") == message:
                return datetime.fromisoformat(told["time"]).timestamp()
    raise FailedError(f"the server's log has no line {message!r}")
