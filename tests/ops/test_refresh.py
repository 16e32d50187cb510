"""A model on newer data: real npm, real training, a real branch, in a clone of this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.refresh import compared
from tests.conftest import PROJECT
from tests.older import BRANCH, VERSION, git, pin_the_version_before


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose recipe pins the version before, with the build environment of this checkout."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(PROJECT), str(folder))
    git(folder, "checkout", "--quiet", "-B", "main")
    pin_the_version_before(folder)
    git(folder, "commit", "--quiet", "--all", "--message", "The version before")
    return folder


def refresh(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops", "refresh", "mnist", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.build
def test_newer_data_becomes_a_branch_that_changes_the_pins_and_tells_the_metrics(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    asked = tmp_path / "gh"
    asked.write_text('#!/bin/sh\necho "https://github.example/pull/7"; echo "$@" > "$0.said"\n')
    asked.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = refresh(clone, "--json", "--push", str(remote), "--propose", "github")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["branch"], told["proposed"]) == (BRANCH, "https://github.example/pull/7")
    assert (tmp_path / "gh.said").read_text() == f"pr create --fill --head {BRANCH}\n"
    metrics = {one["metric"]: one for one in told["metrics"]}
    assert metrics["accuracy"]["after"] >= 0.97
    assert not [name for name in metrics if "latency" in name]
    assert git(clone, "diff", "--numstat", f"main..{BRANCH}") == "1\t1\tmodels/mnist/recipe.yaml"
    assert "version: 1.1.0" in git(clone, "show", f"{BRANCH}:models/mnist/recipe.yaml")
    assert f"accuracy: {metrics['accuracy']['before']:.6g} → " in git(clone, "log", "-1", "--format=%B", BRANCH)
    assert git(remote, "rev-parse", BRANCH) == git(clone, "rev-parse", BRANCH)
    assert (git(clone, "branch", "--show-current"), git(clone, "status", "--porcelain", "-uno")) == ("main", "")
    again = refresh(clone)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == f"branch {BRANCH}: is there already; merge or delete it"
    git(clone, "branch", "-D", BRANCH)
    elsewhere = refresh(clone, "--push", str(remote))
    assert elsewhere.stdout.splitlines()[-1] == f"branch {BRANCH}: is there already; merge or delete it"


@pytest.mark.build
def test_a_model_that_a_gate_refuses_leaves_no_branch(clone: Path) -> None:
    recipe = clone / "models/mnist/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("min_accuracy: 0.97", "min_accuracy: 0.9999"))
    git(clone, "commit", "--quiet", "--all", "--message", "A gate that nothing passes")
    done = refresh(clone)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("refused: ")
    assert "min_accuracy" in done.stderr.splitlines()[-1]
    assert git(clone, "branch", "--list", "refresh/*") == ""
    assert len(git(clone, "worktree", "list").splitlines()) == 1


def test_a_dry_run_tells_what_is_newer_and_makes_nothing(clone: Path) -> None:
    done = refresh(clone, "--dry-run")
    assert (done.returncode, done.stdout) == (0, f"mnist: mnist {VERSION} → 1.1.0\n")
    assert git(clone, "branch", "--list", "refresh/*") == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--stack", "nowhere"), "error: Pulumi.nowhere.yaml: "),
        (("--propose", "gitlab"), "error: --propose: is of a branch that is pushed; add --push REMOTE"),
        (("--to", "mnist"), "error: --to: 'mnist' is not PACKAGE=VERSION; write it so"),
    ],
)
def test_what_cannot_be_is_one_line(clone: Path, arguments: tuple[str, ...], said: str) -> None:
    done = refresh(clone, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_metrics_that_hang_on_the_machine_are_not_compared() -> None:
    before = {"accuracy": 0.97, "size": 100, "latency_ms": 1.0, "speedup": 2.0, "passed": True, "kind": "a"}
    after = {"accuracy": 0.98, "size": 100, "latency_ms": 0.5, "speedup": 3.0, "passed": True, "kind": "a", "new": 1}
    assert compared(before, after) == [
        {"metric": "accuracy", "before": 0.97, "after": 0.98},
        {"metric": "size", "before": 100, "after": 100},
    ]
