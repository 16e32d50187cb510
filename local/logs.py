"""The logs of the parts."""

import os
from pathlib import Path

from local.errors import RefusedError
from local.instance import Instance
from local.parts import parts

LINES = 20
POD_LOGS = "pods"


def names(instance: Instance) -> list[str]:
    """Every part that has a log, in the order of `status`."""
    return [*(part.name for part in parts(instance)), "coredns"]


def path(instance: Instance, name: str) -> Path:
    """The log of a part; of CoreDNS, which is a pod, the newest one."""
    if name != "coredns":
        return instance.logs / name / "current"
    found = (instance.logs / POD_LOGS).glob("kube-system_coredns-*/coredns/*.log")
    return max(found, key=lambda log: log.stat().st_mtime, default=instance.logs / POD_LOGS)


def last_line(log: Path) -> str:
    """The last line of a log, or words that say that there is none."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "none yet"


def show(instance: Instance, name: str | None, *, follow: bool) -> int:
    """Hand over to `tail` on one part's log or on all. Raises RefusedError."""
    if name is not None and name not in names(instance):
        raise RefusedError(f"part: {name!r} is not a part; name one of {', '.join(names(instance))}")
    wanted = [name] if name else names(instance)
    found = [log for log in (path(instance, one) for one in wanted) if log.is_file()]
    if not found:
        raise RefusedError(f"logs: none in {instance.logs}; run `python -m local up` first")
    os.execvp("tail", ["tail", f"--lines={LINES}", *(["-F"] if follow else []), *map(str, found)])  # noqa: S606
