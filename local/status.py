"""State, uptime, version and log of each part."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local import health, logs, node
from local.build import CONTAINERD, COREDNS, KUBERNETES, REGISTRY
from local.instance import Instance
from local.parts import parts
from local.platform import NODE
from local.roots import place

HEALTHY, UNHEALTHY, DOWN = "healthy", "unhealthy", "down"
_RUNNING = re.compile(r"^run: \S+/([^/:]+): \(pid \d+\) (\d+)s", re.MULTILINE)
_PACKAGES = {"etcd": "etcd-server", "haproxy": "haproxy"}
_MODULES = {"containerd": CONTAINERD, "registry": REGISTRY, "coredns": COREDNS}


@dataclass(frozen=True)
class Row:
    """One part; `uptime` in seconds, None where it does not run or is a pod; `detail` says what is wrong."""

    part: str
    state: str
    uptime: int | None
    version: str
    log: str
    detail: str

    @property
    def healthy(self) -> bool:
        """Whether the part answers."""
        return self.state == HEALTHY


def rows(instance: Instance) -> list[Row]:
    """Every part, asked at once."""
    running = node.running(instance)
    asked = health.targets(instance) | {health.DNS: health.DNS_TARGET}
    wrong = health.probe(running, asked) if running else dict.fromkeys(asked, "the node does not run")
    uptimes = _uptimes(instance, running) if running else {}
    return [_row(instance, name, said, uptimes) for name, said in wrong.items()]


def _row(instance: Instance, name: str, said: str, uptimes: Mapping[str, int]) -> Row:
    state = HEALTHY if not said else UNHEALTHY if name in uptimes else DOWN
    return Row(name, state, uptimes.get(name), _version(instance, name), str(logs.path(instance, name)), said)


def _uptimes(instance: Instance, running: node.Node) -> dict[str, int]:
    told = node.supervise(running, "status", tuple(part.name for part in parts(instance)))
    return {name: int(seconds) for name, seconds in _RUNNING.findall(told)}


def _version(instance: Instance, name: str) -> str:
    if name in _PACKAGES:
        return _package_version(place(NODE, instance.cache) / "packages", _PACKAGES[name])
    return _MODULES.get(name, KUBERNETES).version


def _package_version(packages: Path, name: str) -> str:
    lines = packages.read_text().splitlines() if packages.is_file() else []
    return next((line.split()[1] for line in lines if line.split()[0] == name), "")


def as_json(found: list[Row]) -> str:
    """The rows as a JSON list."""
    return json.dumps([asdict(row) for row in found], indent=2)


def as_table(found: list[Row]) -> str:
    """The rows as a table, with what is wrong below it."""
    cells = [("part", "state", "uptime", "version", "log")]
    cells += [(row.part, row.state, _duration(row.uptime), row.version, row.log) for row in found]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["  ".join([*map(str.ljust, line, widths), line[-1]]) for line in cells]
    return "\n".join([*lines, *(f"{row.part}: {row.detail}" for row in found if row.detail)])


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
