"""Ansible's own word about the playbook: its syntax, whom each play reaches, and ansible-lint's strictest profile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.hosts.render import INVENTORY, PLAYBOOK
from settings import HostsSettings
from tests.ops.ansible import ansible, written
from tests.ops.metal import hosts, small

LINT = ("--offline", "--strict", "--profile", "production", "--nocolor", PLAYBOOK)


@pytest.mark.parametrize("chosen", [hosts(), small()], ids=["gpus", "small"])
def test_ansible_reads_the_playbook(programs: Path, tmp_path: Path, chosen: HostsSettings) -> None:
    folder = written(tmp_path, chosen)
    code, said = ansible(programs, folder, "ansible-playbook", "--syntax-check", "--inventory", INVENTORY, PLAYBOOK)
    assert code == 0, said
    assert "WARNING" not in said


def test_each_play_reaches_the_hosts_that_it_is_for(programs: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, hosts())
    code, said = ansible(programs, folder, "ansible-playbook", "--list-hosts", "--inventory", INVENTORY, PLAYBOOK)
    assert code == 0, said
    plays = re.findall(r"\([^)]*\): (.+?)\tTAGS.*\n.*\n    hosts \(\d+\):\n((?:      .+\n)*)", said)
    assert {name: sorted(found.split()) for name, found in plays} == {
        "Prepare the hosts": ["cp-0", "cp-1", "cp-2", "cpu-0", "cpu-1", "gpu-0"],
        "Give containers GPUs": ["gpu-0"],
        "Start the control plane": ["cp-0"],
        "Join the other control planes": ["cp-1", "cp-2"],
        "Join the workers": ["cpu-0", "cpu-1", "gpu-0"],
        "Tell of the cluster": ["cp-0"],
    }


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
