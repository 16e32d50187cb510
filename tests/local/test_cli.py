"""The command line of `python -m local`, without a platform."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import build
from local.cli import run
from local.instance import Instance
from tests.conftest import PROJECT

NOBODY = 65534
GO = "go version go1.26.8 linux/amd64"


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """For the block, be a user who may not look into `folder`."""
    was = os.geteuid()
    folder.chmod(0)
    try:
        if was == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        os.seteuid(was)
        folder.chmod(0o700)


@pytest.mark.parametrize("command", ["status", "up", "env", "down", "logs"])
def test_a_user_who_may_not_read_the_platforms_folders_is_told_in_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data/default").mkdir(parents=True)
    monkeypatch.setenv("MODELSTACK_DATA", str(tmp_path / "data"))
    with another_user(tmp_path / "data"):
        assert run([command]) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path}/data/default/base-port: user ")
    assert "run this as root, or use any cluster" in told
    assert told.count("\n") == 1


@pytest.fixture
def started(unstarted: Instance) -> Instance:
    """An instance with a kubeconfig, and a program in place of Kubernetes that prints its arguments and fails."""
    for name, script in (("kube", 'printf "%s\\n" "$@"; exit 7'), ("go", f"echo {GO}")):
        folder = build.binaries(build.KUBERNETES, unstarted.cache, GO) if name == "kube" else unstarted.cache
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    unstarted.data.mkdir(parents=True)
    unstarted.kubeconfig.touch()
    return unstarted


def kubectl(instance: Instance, *arguments: str) -> "subprocess.CompletedProcess[str]":
    own = {"MODELSTACK_DATA": str(instance.data.parent), "MODELSTACK_CACHE": str(instance.cache)}
    environment = os.environ | own | {"PATH": f"{instance.cache}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "local", "--instance", instance.name, "kubectl", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("before", [["--"], []])
def test_kubectl_gets_the_arguments_as_they_are_and_gives_its_own_exit_code(
    started: Instance, before: list[str]
) -> None:
    done = kubectl(started, *before, "exec", "pod", "-n", "some", "--", "ls")
    assert done.returncode == 7, done.stderr
    said = done.stdout.splitlines()
    assert said[:2] == ["kubectl", f"--kubeconfig={started.kubeconfig}"]
    assert said[3:] == ["exec", "pod", "-n", "some", "--", "ls"]


def test_kubectl_of_a_platform_that_was_never_started_is_refused(started: Instance) -> None:
    started.kubeconfig.unlink()
    done = kubectl(started, "--", "get", "pods")
    assert done.returncode == 3
    assert done.stderr == "error: platform 'unit': has not been started; run `python -m local up` first\n"
