"""The pods' cgroup of an instance, in every hierarchy of cgroup v1 or in the one of v2."""

import time
from pathlib import Path

from local.errors import PlatformError
from local.instance import Instance

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")


def make(instance: Instance, root: Path = ROOT) -> None:
    """Make the instance's cgroup, which the kubelet expects to find in every hierarchy."""
    if (root / "cgroup.controllers").exists():
        _delegate(root)
    for hierarchy in hierarchies(root):
        folder = hierarchy / instance.cgroup.lstrip("/")
        folder.mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":
            _inherit_cpuset(hierarchy, folder)
    if (root / "cgroup.controllers").exists():
        _delegate(root / instance.cgroup.lstrip("/"))


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The root folder of each mounted hierarchy."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return sorted({path.resolve() for path in root.iterdir() if (path / "cgroup.procs").exists()})


def folders(instance: Instance, root: Path = ROOT) -> list[Path]:
    """The instance's cgroup in each hierarchy where it exists."""
    if not root.is_dir():
        return []
    candidates = (hierarchy / instance.cgroup.lstrip("/") for hierarchy in hierarchies(root))
    return [folder for folder in candidates if folder.is_dir()]


def remove(instance: Instance, root: Path = ROOT, seconds: float = 10) -> None:
    """Remove the instance's cgroups, deepest first, within `seconds` of the last process. Raises PlatformError."""
    deadline = time.monotonic() + seconds
    while left := [folder for folder in folders(instance, root) if not _remove_tree(folder)]:
        if time.monotonic() > deadline:
            raise PlatformError(
                f"cgroup: {left[0]} still holds processes; end them (see its cgroup.procs), then run this again"
            )
        time.sleep(0.1)


def _remove_tree(folder: Path) -> bool:
    for child in [path for path in folder.iterdir() if path.is_dir()]:
        _remove_tree(child)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _delegate(folder: Path) -> None:
    offered = set((folder / "cgroup.controllers").read_text().split())
    wanted = [f"+{name}" for name in CONTROLLERS if name in offered]
    (folder / "cgroup.subtree_control").write_text(" ".join(wanted))


def _inherit_cpuset(hierarchy: Path, folder: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        (folder / name).write_text((hierarchy / name).read_text())
