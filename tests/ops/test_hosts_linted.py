"""Ansible's own word about the playbook: its syntax, ansible-lint's strictest profile, and what its templates become.

Ansible and ansible-lint are run in an environment of their own, from requirements-hosts.txt; nothing imports them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_build.places import ROOT
from ops.hosts.render import INVENTORY, PLAYBOOK, rendered
from settings import HostsSettings
from tests.ops.metal import KUBECONFIG, hosts, small

JOIN_COMMAND = "kubeadm join k8s.example.com:6443 --token abc.def --discovery-token-ca-cert-hash sha256:11 "
LINT = ("--offline", "--strict", "--profile", "production", "--nocolor", PLAYBOOK)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Ansible's programs."""
    uv, folder = str(Path(sys.executable).with_name("uv")), tmp_path_factory.mktemp("ansible") / "env"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    into = ("--python", str(folder / "bin/python"), "--require-hashes", "--no-deps")
    subprocess.run([uv, "pip", "install", "--quiet", *into, "-r", str(ROOT / "requirements-hosts.txt")], check=True)
    return folder / "bin"


def ansible(programs: Path, folder: Path, program: str, *arguments: str) -> tuple[int, str]:
    """Run a program in `folder`, where it keeps what it keeps; returns its exit code and what it said."""
    own = {"HOME": str(folder), "ANSIBLE_HOME": str(folder / ".ansible"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
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


@pytest.mark.parametrize("chosen", [hosts(), small()], ids=["gpus", "small"])
def test_ansible_reads_the_playbook(programs: Path, tmp_path: Path, chosen: HostsSettings) -> None:
    folder = written(tmp_path, chosen)
    code, said = ansible(programs, folder, "ansible-playbook", "--syntax-check", "--inventory", INVENTORY, PLAYBOOK)
    assert code == 0, said
    assert "WARNING" not in said


def test_the_strictest_profile_of_the_lint_finds_nothing(programs: Path, tmp_path: Path) -> None:
    code, said = ansible(programs, written(tmp_path, hosts()), "ansible-lint", *LINT)
    assert code == 0, said
    assert "Passed: 0 failure(s), 0 warning(s)" in said


def test_the_lint_finds_a_task_that_always_changes(programs: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, small())
    playbook = folder / PLAYBOOK
    playbook.write_text(playbook.read_text().replace("      changed_when: false\n", ""))
    code, said = ansible(programs, folder, "ansible-lint", *LINT)
    assert code == 2
    assert "no-changed-when" in said


def play_of(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in yaml.safe_load((folder / PLAYBOOK).read_text()) if one["name"] == name)
    return found


def run(programs: Path, folder: Path, *plays: dict[str, Any], **told: str) -> tuple[int, str]:
    """Run plays against this machine in place of every host of the inventory."""
    (folder / "try.yaml").write_text(yaml.safe_dump([{"gather_facts": False, **one} for one in plays]))
    given = " ".join(
        f"{name}={value}"
        for name, value in {"ansible_user": "", "ansible_python_interpreter": sys.executable, **told}.items()
    )
    here = ("--connection", "local", "--extra-vars", given)
    return ansible(programs, folder, "ansible-playbook", "--inventory", INVENTORY, *here, "try.yaml")


def test_a_worker_joins_by_the_token_that_kubeadm_printed(programs: Path, tmp_path: Path) -> None:
    """The play's own variables, filled in by Ansible from what kubeadm prints."""
    folder = written(tmp_path, hosts())
    play = play_of(folder, "Join the workers")
    copied = {"content": play["tasks"][0]["ansible.builtin.copy"]["content"], "dest": "{{ joined }}", "mode": "0600"}
    told = {"ansible.builtin.set_fact": {"join_command": {"stdout": JOIN_COMMAND}}}
    first = {"hosts": "control_plane[0]", "tasks": [told]}
    then = {"hosts": "gpu", "vars": play["vars"], "tasks": [{"ansible.builtin.copy": copied}]}
    code, said = run(programs, folder, first, then, joined=f"{folder}/join.yaml")
    assert code == 0, said
    assert yaml.safe_load((folder / "join.yaml").read_text()) == {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": "k8s.example.com:6443",
                "token": "abc.def",
                "caCertHashes": ["sha256:11"],
            }
        },
        "nodeRegistration": {
            "name": "gpu-0",
            "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
        },
    }


@pytest.mark.parametrize("there", [False, True])
def test_the_kubeconfig_is_the_users_alone_and_its_folder_stays_as_it_is(
    programs: Path,
    tmp_path: Path,
    there: bool,
) -> None:
    """The last play's own tasks, on this machine."""
    kubeconfig = tmp_path / "kube" / "config"
    folder = written(tmp_path, hosts(), str(kubeconfig))
    (folder / "admin.conf").write_text("apiVersion: v1\n")
    if there:
        kubeconfig.parent.mkdir(mode=0o755)
    read, *others = play_of(folder, "Tell of the cluster")["tasks"][-3:]
    read["ansible.builtin.slurp"]["src"] = str(folder / "admin.conf")
    code, said = run(programs, folder, {"hosts": "control_plane[0]", "tasks": [read, *others]})
    assert code == 0, said
    assert kubeconfig.read_text() == "apiVersion: v1\n"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert kubeconfig.parent.stat().st_mode & 0o777 == (0o755 if there else 0o700)
