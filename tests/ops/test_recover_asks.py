"""What `ops recover` shows before it asks; without a terminal it changes nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.__main__ import main

BEGUN = {
    "type": "creating",
    "resource": {
        "urn": "urn:pulumi:dev::shop::kubernetes:core/v1:Service::front",
        "type": "kubernetes:core/v1:Service",
        "custom": True,
        "inputs": {"metadata": {"name": "front", "namespace": "shop"}},
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an operation left begun, whose engine can tell its state and refuses anything else."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {modelstack:cluster: {kubeconfig: mine}}")
    (tmp_path / "state.json").write_text(json.dumps({"deployment": {"pending_operations": [BEGUN]}}))
    (tmp_path / "pulumi").write_text(f"""#!/bin/sh
case "$1 $2" in
  whoami*) echo '{{"url": "file://{tmp_path}/state"}}' ;;
  "stack export") cat {tmp_path}/state.json ;;
  *) echo "$@" >> {tmp_path}/changed; exit 1 ;;
esac
""")
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def locked_by(project: Path, pid: int) -> None:
    now = datetime.now(UTC).isoformat()
    lock = {"pid": pid, "username": "me", "hostname": socket.gethostname(), "timestamp": now}
    locks = project / "state/.pulumi/locks/organization/shop/dev"
    locks.mkdir(parents=True)
    (locks / "one.json").write_text(json.dumps(lock))


def test_without_a_terminal_what_was_found_is_shown_and_nothing_is_changed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    locked_by(project, process.pid)
    assert main(["recover"]) == 3
    told = capsys.readouterr()
    assert f"lock: of process {process.pid} of me@" in told.out
    assert "which is dead: would be removed" in told.out
    assert "Service front: interrupted while creating; refresh looks for shop/front" in told.out
    assert told.err == "recover: nothing was done; pass --yes to go ahead\n"
    assert not (project / "changed").exists()


def test_a_live_holder_is_told_before_anything_is_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked_by(project, os.getpid())
    assert main(["recover"]) == 3
    assert f"is held by process {os.getpid()} of me@" in capsys.readouterr().err
