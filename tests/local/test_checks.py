"""What is refused before anything is started: one line that names value, limit and remedy."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local import __main__, build, checks
from local.errors import RefusedError
from local.instance import Instance, locate
from tests.conftest import PROJECT

REMEDY = "use any cluster: name its kubeconfig in the stack"


def _program(folder: Path, name: str, prints: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{prints}'\n")
    (folder / name).chmod(0o755)


def test_another_system_is_refused_with_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert __main__.main() == 3
    assert capsys.readouterr().err == f"error: system: darwin is not linux; {REMEDY}\n"


def test_a_user_other_than_root_is_refused(monkeypatch: pytest.MonkeyPatch, unstarted: Instance) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RefusedError, match=r"^user: 1000 is not root .* run this as root, or use any cluster: "):
        checks.machine(unstarted)


def test_a_missing_tool_is_refused_with_its_package(
    monkeypatch: pytest.MonkeyPatch, unstarted: Instance, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for tool in ("unshare", "nsenter", "setpriv"):
        _program(tmp_path / "bin", tool, "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RefusedError, match=r"^openssl: not found on PATH; install the package openssl, or use any"):
        checks.machine(unstarted)


def test_a_folder_that_no_mount_takes_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    odd = locate("unit", {"MODELSTACK_DATA": str(tmp_path / "a:b")})
    with pytest.raises(RefusedError, match=r"^MODELSTACK_DATA: '.*a:b/unit' holds a colon.*; name another folder$"):
        checks.machine(odd)


def test_too_little_disk_is_refused_with_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        checks.disk("MODELSTACK_CACHE", tmp_path / "not" / "there", 10**18)
    told = str(refused.value)
    assert told.startswith(f"disk: {tmp_path}/not/there has ")
    assert "1000000000 GB are needed; free some, set MODELSTACK_CACHE to a folder on a larger disk, or use" in told


def test_enough_disk_is_no_reason_to_refuse(tmp_path: Path) -> None:
    checks.disk("MODELSTACK_CACHE", tmp_path / "not" / "there", 1)


def test_a_port_in_use_is_refused_with_its_number_and_holder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        instance = locate("unit", {"MODELSTACK_DATA": str(tmp_path), "MODELSTACK_BASE_PORT": str(port)})
        name = Path("/proc/self/comm").read_text().strip()
        with pytest.raises(RefusedError) as refused:
            checks.free_ports(instance)
    assert f"port: 127.0.0.1:{port} is in use by {name} (process {os.getpid()})" in str(refused.value)
    assert "set MODELSTACK_BASE_PORT to another range" in str(refused.value)


def test_a_missing_go_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match=r"^go: not found on PATH; install Go 1\.26\.8 or newer, or use any cluster"):
        build.go_version()


def test_an_old_go_is_refused_with_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path / "bin", "go", "go version go1.26.7 linux/amd64")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    with pytest.raises(
        RefusedError, match=r"go1\.26\.7 linux/amd64' is older than 1\.26\.8; install Go 1\.26\.8 or newer"
    ):
        build.go_version()


def test_up_says_one_line_and_exits_with_3_where_it_refuses(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "MODELSTACK_DATA": str(tmp_path / "data"), "MODELSTACK_INSTANCE": "No Name"}
    command = [sys.executable, "-m", "local", "up"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "error: instance: 'No Name' is no instance name; use up to 20 lower-case letters, digits and dashes"
    ]
    assert not (tmp_path / "data").exists()
