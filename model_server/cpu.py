"""How many CPUs the server may use: the cgroup's quota (version 1 and 2), the affinity, the machine."""

import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_OF_SELF = Path("/proc/self/cgroup")


def threads(quota: float | None, cpus: int) -> int:
    """Return the threads for a quota in CPUs: whole ones only, since a thread above the quota is throttled."""
    return max(1, min(cpus, cpus if quota is None else int(quota)))


def available() -> int:
    """Return the CPUs this process may be scheduled on."""
    return len(os.sched_getaffinity(0))


def quota(root: Path = CGROUP_ROOT, of_self: Path = CGROUP_OF_SELF) -> float | None:
    """Return the tightest CPU quota over this process's cgroup and its ancestors, in CPUs; None is unlimited."""
    version_1, version_2 = _paths(of_self)
    found = [_read_v2(folder) for folder in _lineage(root, version_2)]
    for controller in ("cpu", "cpu,cpuacct", "cpuacct,cpu"):
        found += [_read_v1(folder) for folder in _lineage(root / controller, version_1)]
    limits = [one for one in found if one is not None]
    return min(limits) if limits else None


def _paths(of_self: Path) -> tuple[str, str]:
    """Return this process's path in the version 1 cpu hierarchy and in version 2's (cgroups(7), /proc/[pid]/cgroup)."""
    version_1 = version_2 = "/"
    for line in _text(of_self).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            version_2 = path
        elif "cpu" in controllers.split(","):
            version_1 = path
    return version_1, version_2


def _lineage(root: Path, path: str) -> list[Path]:
    # In a container the mount often starts at the container's own group while the path is the host's: folders that
    # are not there read as no limit, and `..` (a path seen from another cgroup namespace) is not followed.
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        return [root]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _read_v2(folder: Path) -> float | None:
    limit, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _ratio(limit, period)


def _read_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _ratio(limit: str, period: str) -> float | None:
    """Return limit over period (both microseconds); None for `max`, -1, or a file that is missing or not understood."""
    if not limit.isdigit() or not period.isdigit() or int(limit) == 0 or int(period) == 0:
        return None
    return int(limit) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
