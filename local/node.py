"""The node: a process tree in namespaces of its own, which ends with its first process."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from local import cgroups
from local.errors import PlatformError, UnhealthyError
from local.instance import NODE_ADDRESS, NODE_NAME, SERVICE_RANGE, Instance
from local.parts import TOOLS

SCRIPTS = Path(__file__).parent / "node"
VOLUMES = ("etcd", "containerd", "kubelet", "registry")
START_SECONDS = 20.0
STOP_SECONDS = 10


@dataclass(frozen=True)
class Node:
    """A running node, by its first process as the host sees it."""

    pid: int

    @property
    def root(self) -> Path:
        """The node's file system as the host can reach it."""
        return Path(f"/proc/{self.pid}/root")


def running(instance: Instance) -> Node | None:
    """The instance's node, or None where it does not run; a process number used again is not mistaken for it."""
    try:
        pid, start, boot = instance.record.read_text().split()
        if boot != Path("/proc/sys/kernel/random/boot_id").read_text().strip() or start != start_time(int(pid)):
            return None
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return Node(int(pid))


def start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty for one that has ended. Raises FileNotFoundError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def start(instance: Instance, root: Path, binaries: list[Path]) -> Node:
    """Start the node over a Debian root with folders of binaries on its PATH. Raises UnhealthyError."""
    for volume in VOLUMES:
        (instance.volumes / volume).mkdir(parents=True, exist_ok=True, mode=0o700)
    cgroups.make(instance)
    log = instance.logs / "node.log"
    command = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "/bin/sh", str(SCRIPTS / "boot.sh")]
    arguments = [
        str(os.getpid()),
        str(instance.data),
        str(root),
        ":".join(map(str, binaries)),
        str(SCRIPTS / "start.sh"),
    ]
    environment = {
        "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "MODELSTACK_INSTANCE": instance.name,
        "NODE_ADDRESS": NODE_ADDRESS,
        "NODE_NAME": NODE_NAME,
        "SERVICE_RANGE": SERVICE_RANGE,
    }
    with log.open("w") as output:
        launcher = subprocess.Popen(
            [*command, *arguments],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _wait_for_start(instance, launcher, log)


def _wait_for_start(instance: Instance, launcher: "subprocess.Popen[bytes]", log: Path) -> Node:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and launcher.poll() is None:
        node = running(instance)
        if node and _comm(node.pid) == "runsvdir":
            return node
        time.sleep(0.05)
    stop(instance)
    lines = log.read_text().strip().splitlines() or ["no message"]
    raise UnhealthyError(f"node: its first process did not start: {lines[-1]}; see {log}")


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


def stop(instance: Instance, graceful: tuple[str, ...] = ()) -> None:
    """End the node, the parts in `graceful` by a request first, and remove its cgroups. Raises PlatformError."""
    node = running(instance)
    if node:
        if graceful:
            # Killed anyway a moment later: what does not answer is no reason to fail.
            supervise(node, "stop", graceful, "-w", str(STOP_SECONDS))
        _kill(node)
    cgroups.remove(instance)
    instance.record.unlink(missing_ok=True)
    mount_point = instance.data / "root"
    if mount_point.is_dir():
        mount_point.rmdir()


def supervise(node: Node, command: str, names: tuple[str, ...], *options: str) -> str:
    """What `sv` printed on a command for these parts; a node that has ended prints nothing."""
    services = [f"/run/service/{name}" for name in names]
    return _entered(node, "/usr/bin/sv", *options, command, *services).stdout


def enter(node: Node, *command: str) -> str:
    """What a program printed inside the node; raises PlatformError where it fails."""
    done = _entered(node, "/usr/bin/env", f"PATH={TOOLS}:/usr/sbin:/usr/bin:/sbin:/bin", *command)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PlatformError(f"node: {' '.join(command[:2])} failed: {said}")
    return done.stdout


def _entered(node: Node, *command: str) -> "subprocess.CompletedProcess[str]":
    enters = ["nsenter", f"--target={node.pid}", "--mount", "--pid", "--net", f"--root={node.root}"]
    return subprocess.run([*enters, *command], capture_output=True, text=True, check=False)


def _kill(node: Node) -> None:
    descriptor = os.pidfd_open(node.pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + STOP_SECONDS
    while _alive(node.pid):
        if time.monotonic() > deadline:
            raise PlatformError(
                f"node: process {node.pid} did not end in {STOP_SECONDS} s after SIGKILL; see /proc/{node.pid}/stack"
            )
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return bool(start_time(pid))
    except (FileNotFoundError, ProcessLookupError):
        return False
