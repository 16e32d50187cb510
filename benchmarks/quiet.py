"""How much of the machine other programs take while something is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

# Above this share of all cores a measurement is worth little.
MOST = 0.1
TICKS = os.sysconf("SC_CLK_TCK")


class Others:
    """Counts from when it is made; `own` returns CPU seconds of what is measured and no child of this process."""

    def __init__(self, own: Callable[[], float] = lambda: 0.0) -> None:
        self._own = own
        self._began = time.monotonic()
        self._then = self._seconds()

    def share(self) -> float:
        """Return the share of all cores, 0 to 1, that other programs took since."""
        passed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return max(0.0, self._seconds() - self._then) / max(passed, 1e-9)

    def _seconds(self) -> float:
        spent = os.times()
        mine = spent.user + spent.system + spent.children_user + spent.children_system
        return _busy() - mine - self._own()


def _busy() -> float:
    """Return seconds that all cores together worked since boot: user, nice, system, irq and softirq."""
    fields = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / TICKS


def cpu_seconds(pid: int) -> float:
    """Return what a process and its children that ended have taken; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(one) for one in fields[11:15]) / TICKS
