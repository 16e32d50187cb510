"""Whether the parts of a running node answer, and what to say of one that does not."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local import logs
from local.errors import PlatformError, UnhealthyError
from local.instance import CLUSTER_DOMAIN, DNS_ADDRESS, Instance
from local.node import Node, running
from local.parts import parts

DNS = "coredns"
DNS_TARGET = f"dns://{DNS_ADDRESS}/kubernetes.default.svc.{CLUSTER_DOMAIN}"
PART_SECONDS = 180.0  # ten times what it takes alone on two cores: a busy machine is not a broken one


def targets(instance: Instance) -> dict[str, str]:
    """Part → where its health is asked, for every supervised part."""
    return {part.name: part.health for part in parts(instance)}


def probe(node: Node, asked: Mapping[str, str]) -> dict[str, str]:
    """Ask each target in the node's network namespace; part → what is wrong, empty where it answers."""
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("probe.py")), json.dumps(dict(asked))]
    command = ["nsenter", f"--net=/proc/{node.pid}/ns/net", *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return dict.fromkeys(asked, "the node has ended")
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


def wait(instance: Instance, node: Node, asked: Mapping[str, str], seconds: float = PART_SECONDS) -> None:
    """Wait until every target answers; raises UnhealthyError with the last log line of one that does not."""
    deadline = time.monotonic() + seconds
    while wrong := {name: said for name, said in probe(node, asked).items() if said}:
        if running(instance) != node:
            raise UnhealthyError(f"node: it ended while its parts started; see {instance.logs / 'node.log'}")
        if time.monotonic() > deadline:
            raise unhealthy(instance, *next(iter(wrong.items())))
        time.sleep(0.3)


def unhealthy(instance: Instance, name: str, said: str) -> PlatformError:
    """The error that names a part, what its health said, and the last line of its log."""
    path = logs.path(instance, name)
    return UnhealthyError(f"{name}: not healthy ({said}); its last log line: {logs.last_line(path)}; see {path}")
