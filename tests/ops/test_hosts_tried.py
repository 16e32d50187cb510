"""Tasks of the playbook as Ansible runs them: on this machine, with a script in place of kubeadm."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from settings import HostsSettings
from tests.ops.ansible import Play, play_of, run, written
from tests.ops.metal import hosts

pytestmark = pytest.mark.soak
JOIN_COMMAND = "kubeadm join k8s.example.com:6443 --token abc.def --discovery-token-ca-cert-hash sha256:11 "
CHECKS = (
    *("Ask whether the host is a node", "Ask whether it was to be one"),
    *("Refuse half a node", "Refuse to start a second cluster"),
)
VERSIONS = (
    *("Ask whether the host is a node", "Refuse to upgrade a node"),
    *("Refuse to change a node's runtime", "Refuse to change a node's toolkit"),
)
REACHED = {"name": "Reached", "ansible.builtin.debug": {"msg": "reached"}}
TOLD = {
    "hosts": "control_plane[0]",
    "tasks": [{"ansible.builtin.set_fact": {"join_command": {"stdout": JOIN_COMMAND}}}],
}


def program(folder: Path, name: str, *lines: str) -> None:
    """Put a script in place of a program, which notes how it is called."""
    script = folder / "bin" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text("\n".join(["#!/bin/sh", f'echo "$*" >>{folder}/called', *lines, ""]))
    script.chmod(0o755)


def checked(folder: Path, *further: Play, names: Collection[str] = CHECKS) -> Play:
    """Return the first play with no more than its checks, and what else is to be run."""
    play = play_of(folder, "Prepare the hosts")
    return {**play, "gather_facts": False, "tasks": [one for one in play["tasks"] if one["name"] in names] + [*further]}


def has(folder: Path, host: str, *files: str) -> None:
    (folder / host).mkdir(exist_ok=True)
    for name in files:
        (folder / host / name).write_text("")


def few() -> HostsSettings:
    """Return three control planes and one worker."""
    return hosts(workers={"gpu": {"hosts": {"gpu-0": "10.0.0.30"}, "gpu": True}})


WHOLE = ("kubelet.conf", "modelstack-node")
SECOND = "is the first control plane of the settings and not yet a node"
HALF = "kubelet.conf, and {folder}/gpu-0/modelstack-node is not there: kubeadm did not end"


@pytest.mark.parametrize(
    ("found", "limit", "refused"),
    [
        ({}, "", ""),
        ({"cp-0": WHOLE, "cp-1": WHOLE}, "control_plane,!cp-2", ""),
        ({"cp-1": WHOLE, "cp-2": WHOLE}, "", SECOND),
        ({}, "cp-0", SECOND),
        ({"cp-0": WHOLE, "gpu-0": ("kubelet.conf",)}, "", HALF),
    ],
    ids=["new", "some", "another-first", "the-first-alone", "half"],
)
def test_a_second_cluster_and_half_a_node_are_refused_before_anyone_is_changed(
    programs: Path, tmp_path: Path, found: dict[str, tuple[str, ...]], limit: str, refused: str
) -> None:
    folder = written(tmp_path, few())
    for host, files in found.items():
        has(folder, host, *files)
    code, said = run(programs, folder, checked(folder, REACHED), limit=limit)
    assert (code, "reached" in said) == ((2, False) if refused else (0, True)), said
    assert refused.format(folder=folder) in said


def versions(**changed: str) -> Play:
    """Return what tells of packages as `package_facts` does."""
    found = {
        "kubelet": "1.37.2-1.1",
        "kubeadm": "1.37.2-1.1",
        "kubectl": "1.37.2-1.1",
        "containerd.io": "2.2.1-1~ubuntu",
    }
    packages = {name: [{"version": one}] for name, one in {**found, **changed}.items()}
    return {"ansible.builtin.set_fact": {"packages": packages, "cacheable": True}}


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, ""),
        ({"kubelet": "1.37.1-1.1"}, "with kubelet 1.37.1, the settings say 1.37.2; upgrade it with kubeadm upgrade"),
        ({"containerd.io": "2.2.0-1~ubuntu"}, "with containerd.io 2.2.0, the settings say 2.2.1; drain it"),
        ({"libnvidia-container1": "1.17.0-1"}, "with libnvidia-container1 1.17.0, the settings say 1.18.1; drain it"),
    ],
    ids=["same", "kubernetes", "containerd", "toolkit"],
)
def test_a_node_is_left_at_its_versions(programs: Path, tmp_path: Path, changed: dict[str, str], refused: str) -> None:
    folder = written(tmp_path, few())
    has(folder, "gpu-0", *WHOLE)
    tasks = [versions(**changed), *checked(folder, names=VERSIONS)["tasks"]]
    code, said = run(programs, folder, {"hosts": "gpu-0", "tasks": tasks})
    assert code == (2 if refused else 0), said
    assert refused in said


def joining(folder: Path) -> list[Play]:
    """Return what asks whether a host is a node, and the play by which workers join."""
    first = checked(folder, names=("Ask whether the host is a node",))
    return [TOLD, {**first, "hosts": "gpu-0"}, {**play_of(folder, "Join the workers"), "gather_facts": False}]


def test_a_host_that_does_not_join_is_no_node_and_keeps_no_token(programs: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, few())
    has(folder, "gpu-0")
    program(
        folder,
        "kubeadm",
        f"cp {folder}/gpu-0/join.yaml {folder}/read.yaml",
        f"touch {folder}/gpu-0/kubelet.conf",
        "exit 1",
    )
    code, said = run(programs, folder, *joining(folder))
    assert code == 2, said
    assert "kubeadm did not end, see above; mend what it names, run kubeadm reset on the host, and run again" in said
    assert (folder / "read.yaml").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in (folder / "gpu-0").iterdir()] == ["kubelet.conf"]


def test_a_host_joins_by_the_token_that_kubeadm_printed_and_once(programs: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, few())
    has(folder, "gpu-0")
    program(folder, "kubeadm", f"cp {folder}/gpu-0/join.yaml {folder}/read.yaml")
    plays = joining(folder)
    code, said = run(programs, folder, *plays, *plays[1:])
    assert code == 0, said
    assert (folder / "called").read_text() == f"join --config {folder}/gpu-0/join.yaml\n"
    assert [one.name for one in (folder / "gpu-0").iterdir()] == ["modelstack-node"]
    assert yaml.safe_load((folder / "read.yaml").read_text()) == {
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


def starting(folder: Path) -> list[Play]:
    """Return what asks who is a node, and the play of the first control plane without what is fetched."""
    play = play_of(folder, "Start the control plane")
    kept = [
        one for one in play["tasks"] if "network of pods" not in one["name"] and "cluster is to be" not in one["name"]
    ]
    return [checked(folder), {**play, "gather_facts": False, "tasks": kept}]


def test_a_cluster_that_has_started_is_not_started_again_and_those_that_are_missing_are_invited(
    programs: Path, tmp_path: Path
) -> None:
    folder = written(tmp_path, few())
    for host in ("cp-1", "cp-2", "gpu-0"):
        has(folder, host)
    has(folder, "cp-0")
    program(folder, "kubeadm")
    code, said = run(programs, folder, *starting(folder))
    assert code == 0, said
    uploaded = f"init phase upload-certs --upload-certs --config {folder}/cp-0/kubeadm.yaml"
    invited = ["token create --ttl 2h --print-join-command", uploaded]
    started = f"init --config {folder}/cp-0/kubeadm.yaml --skip-token-print"
    assert (folder / "called").read_text().splitlines() == [started, *invited]
    has(folder, "cp-0", "kubelet.conf")
    code, said = run(programs, folder, *starting(folder))
    assert code == 0, said
    assert (folder / "called").read_text().splitlines() == [started, *invited, *invited]


def test_where_every_host_that_is_asked_is_a_node_nobody_is_invited(programs: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, few())
    for host in ("cp-0", "cp-1", "cp-2"):
        has(folder, host, *WHOLE)
    program(folder, "kubeadm")
    code, said = run(programs, folder, *starting(folder), limit="control_plane")
    assert code == 0, said
    assert not (folder / "called").exists()


def test_the_workers_that_are_reached_are_labelled_by_their_pool(programs: Path, tmp_path: Path) -> None:
    folder = written(tmp_path, hosts())
    program(folder, "kubectl", "echo node/x not labeled")
    labelling = {"hosts": "control_plane[0]", "tasks": play_of(folder, "Tell of the cluster")["tasks"][:1]}
    asking = checked(folder, names=CHECKS[:1])
    code, said = run(programs, folder, asking, labelling, limit="all:!cpu-1")
    assert code == 0, said
    called = (folder / "called").read_text().splitlines()
    assert [one.partition(" label --overwrite node ")[2] for one in called] == [
        "cpu-0 modelstack.dev/pool=cpu",
        "gpu-0 example.com/rack=a1 modelstack.dev/pool=h100-80",
    ]
    assert "changed=0" in said


@pytest.mark.parametrize("there", [False, True])
def test_the_kubeconfig_is_the_users_alone_and_its_folder_stays_as_it_is(
    programs: Path, tmp_path: Path, there: bool
) -> None:
    """The last play's own tasks, on this machine."""
    kubeconfig = tmp_path / "kube" / "config"
    folder = written(tmp_path, few(), "~/kube/config")
    has(folder, "cp-0", "admin.conf")
    if there:
        kubeconfig.parent.mkdir(mode=0o755)
    (folder / "cp-0/admin.conf").write_text("apiVersion: v1\n")
    tasks = play_of(folder, "Tell of the cluster")["tasks"][-3:]
    code, said = run(programs, folder, {"hosts": "control_plane[0]", "tasks": tasks})
    assert code == 0, said
    assert kubeconfig.read_text() == "apiVersion: v1\n"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert kubeconfig.parent.stat().st_mode & 0o777 == (0o755 if there else 0o700)
