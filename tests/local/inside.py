"""What the tests do inside a node, and what they look for outside of it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from local import build, cgroups, node
from local.instance import Instance
from local.kubectl import Kubectl
from local.platform import NODE
from local.roots import place


def kubectl(instance: Instance) -> Kubectl:
    """kubectl on an instance."""
    return Kubectl(instance, build.binaries(build.KUBERNETES, instance.cache, build.go_version()))


def in_node(instance: Instance, script: str) -> str:
    """What a shell script printed inside the node."""
    running = node.running(instance)
    assert running
    enter = ["nsenter", f"--target={running.pid}", "--mount", "--pid", "--net", f"--root={running.root}"]
    return subprocess.run([*enter, "/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Traces:
    """What a platform could leave outside its data folder."""

    processes: frozenset[str]
    mounts: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    rules: str
    cgroups: frozenset[str]


def traces(instance: Instance) -> Traces:
    """What there is of an instance on this machine now; links and firewall rules are the host's own."""
    base = str(instance.data)
    return Traces(
        processes=frozenset(_processes(instance, base)),
        mounts=frozenset(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if base in line),
        namespaces=frozenset(
            subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
        ),
        links=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        rules=_rules(instance),
        cgroups=frozenset(map(str, cgroups.folders(instance))),
    )


def _processes(instance: Instance, base: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            told = (command, (folder / "cgroup").read_text(), (folder / "mountinfo").read_text())
        except OSError:
            continue
        # The node's own mounts of the data folder show in each of its processes, a pod's cgroup in each of the pod's.
        ours = base in told[0] or instance.cgroup in told[1] or f"{base}/" in told[2]
        if ours and "pytest" not in command:
            found.append(f"{folder.name} {command}")
    return found


def _rules(instance: Instance) -> str:
    save = ["chroot", str(place(NODE, instance.cache) / "root"), "/usr/sbin/iptables-nft-save"]
    text = subprocess.run(save, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
