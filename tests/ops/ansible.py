"""Ansible's programs, run on what `ops hosts render` writes: every host of the inventory is this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ops.hosts.render import INVENTORY, PLAYBOOK, rendered
from settings import HostsSettings
from tests.ops.metal import KUBECONFIG

Play = dict[str, Any]
# Of machines; here each host has a folder of its own in their place.
FOLDERS = ("/etc/kubernetes", "/var/lib/kubelet")


def ansible(programs: Path, folder: Path, program: str, *arguments: str) -> tuple[int, str]:
    """Run a program in `folder`, where it keeps what it keeps; returns its exit code and what it said."""
    own = {"HOME": str(folder), "ANSIBLE_HOME": str(folder / ".ansible"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    path = os.pathsep.join([str(folder / "bin"), str(programs), os.environ["PATH"]])
    done = subprocess.run(
        [str(programs / program), *arguments],
        cwd=folder,
        env={**os.environ, **own, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def written(folder: Path, chosen: HostsSettings, kubeconfig: str = KUBECONFIG) -> Path:
    """Write the files of a stack and return their folder."""
    for name, text in rendered(chosen, kubeconfig, "modelstack-metal").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def play_of(folder: Path, name: str) -> Play:
    """Return one of the plays."""
    found: Play = next(one for one in yaml.safe_load((folder / PLAYBOOK).read_text()) if one["name"] == name)
    return found


def run(programs: Path, folder: Path, *plays: Play, limit: str = "", **told: str) -> tuple[int, str]:
    """Run plays with variables `told`; what they do to a machine's folders each host does in folder/NAME."""
    text = json.dumps([{"gather_facts": False, **one} for one in plays])
    for one in FOLDERS:
        text = text.replace(one, str(folder / "{{ inventory_hostname }}"))
    (folder / "try.yaml").write_text(yaml.safe_dump(json.loads(text)))
    own = {"ansible_user": "", "ansible_become": "false", "ansible_pipelining": "true"}
    own["ansible_python_interpreter"] = sys.executable
    given = " ".join(f"{name}={value}" for name, value in {**own, **told}.items())
    chosen = ("--inventory", INVENTORY, *(("--limit", limit) if limit else ()))
    return ansible(programs, folder, "ansible-playbook", *chosen, "-c", "local", "--extra-vars", given, "try.yaml")
