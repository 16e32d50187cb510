"""What kubeadm and the kubelet say of their files: read strictly into their own types, which Go builds in minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from local import build
from ops.hosts.kubeadm import join
from ops.hosts.render import rendered
from settings import HostsSettings
from tests.ops.metal import KUBECONFIG, hosts, small

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
SOURCE = build.SOURCES / "kubeadm" / "main.go"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader, of the Kubernetes that the embedded platform is built of."""
    folder = tmp_path_factory.mktemp("kubeadm")
    for name in ("go.mod", "go.sum"):
        shutil.copy(build.KUBERNETES.folder / name, folder)
    shutil.copy(SOURCE, folder)
    told = {"GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    command = ["go", "build", "-o", str(folder / "read"), "."]
    done = subprocess.run(command, cwd=folder, env=os.environ | told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "cache")
    return folder / "read"


def read(program: Path, file: Path, text: str) -> tuple[int, str]:
    file.write_text(text)
    done = subprocess.run([str(program), str(file)], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("chosen", [hosts(), small()], ids=["gpus", "small"])
def test_kubeadm_reads_what_the_first_control_plane_starts_with(
    program: Path, tmp_path: Path, chosen: HostsSettings
) -> None:
    text = rendered(chosen, KUBECONFIG, "metal")["files/kubeadm.yaml"]
    assert text.count("\n---\n") == 3
    assert read(program, tmp_path / "kubeadm.yaml", text) == (0, "")


@pytest.mark.parametrize("control_plane", [False, True])
def test_kubeadm_reads_what_a_host_joins_with(
    program: Path,
    tmp_path: Path,
    control_plane: bool,
) -> None:
    found = join(hosts(), control_plane=control_plane)
    if not control_plane:
        found["nodeRegistration"]["taints"] = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert read(program, tmp_path / "join.yaml", yaml.safe_dump(found)) == (0, "")


def test_a_field_that_they_do_not_have_is_found(program: Path, tmp_path: Path) -> None:
    text = rendered(small(), KUBECONFIG, "metal")["files/kubeadm.yaml"].replace("podSubnet", "podSubnets")
    code, said = read(program, tmp_path / "kubeadm.yaml", text)
    assert code == 1
    assert 'unknown field "podSubnets"' in said
