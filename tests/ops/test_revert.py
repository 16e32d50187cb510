"""The way back to the commit before: what the history says of it, and the real engine going there."""

import os
import subprocess
from pathlib import Path

import pytest

from ops.__main__ import main
from ops.engine import Engine
from ops.revert import NowhereError, Update, commit_before, history
from tests.provider.stacks import Project

HEAD, BEFORE, EARLIER = "c" * 40, "b" * 40, "a" * 40
PROGRAM = 'import pulumi\npulumi.export("version", "{version}")\n'
# The engine is asked as the project's own `make up` asks it.
MAKEFILE = "up:\n\t@pulumi up --stack $(STACK) --non-interactive --skip-preview $(ARGS)\n"
SETTINGS = "config: {modelstack:cluster: {kubeconfig: mine}}\n"
# Git finds a name and an address for commits without any settings of the machine.
WHO = {
    f"GIT_{role}_{what}": f"{what.lower()}@example.test"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def up(commit: str, *, succeeded: bool = True, dirty: bool = False, kind: str = "update") -> Update:
    return Update(kind, succeeded, commit, dirty)


def test_the_commit_before_is_the_last_one_that_was_up() -> None:
    ran = [up(HEAD), up(HEAD, succeeded=False), up(BEFORE), up(EARLIER)]
    assert commit_before(ran, HEAD, "prod") == BEFORE


def test_a_commit_whose_up_failed_is_not_gone_back_to() -> None:
    assert commit_before([up(HEAD), up(BEFORE, succeeded=False), up(EARLIER)], HEAD, "prod") == EARLIER


def test_a_refresh_is_not_gone_back_to() -> None:
    assert commit_before([up(HEAD), up(BEFORE, kind="refresh"), up(EARLIER)], HEAD, "prod") == EARLIER


def test_a_commit_that_never_ran_is_gone_back_from_nowhere() -> None:
    assert commit_before([up(BEFORE), up(EARLIER)], HEAD, "prod") is None
    assert commit_before([], HEAD, "prod") is None


def test_the_first_deployment_of_a_stack_has_no_way_back() -> None:
    with pytest.raises(NowhereError, match="history names no commit that was up before cccccccccccc; name a commit"):
        commit_before([up(HEAD), up(BEFORE, kind="destroy"), up(EARLIER)], HEAD, "prod")


def test_what_no_commit_holds_is_not_gone_back_to() -> None:
    with pytest.raises(NowhereError, match="before cccccccccccc it ran bbbbbbbbbbbb with changes, which nothing holds"):
        commit_before([up(HEAD), up(BEFORE, dirty=True), up(EARLIER)], HEAD, "prod")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A repository whose project lies in a folder of it, with a stack that two commits ran on."""
    folder = tmp_path / "repository/stacks"
    project = Project.make(folder, PROGRAM.format(version="one"))
    for name, value in (project.environment | WHO).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.chdir(folder)
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / ".gitignore").write_text("state/\n")
    stack = project.stack("dev").name
    settings = folder / f"Pulumi.{stack}.yaml"
    settings.write_text(SETTINGS + settings.read_text())
    git("init", "--quiet", str(tmp_path / "repository"))
    commit_and_up(stack)
    (folder / "__main__.py").write_text(PROGRAM.format(version="two"))
    commit_and_up(stack)
    return Engine(folder, stack, os.environ)


def commit_and_up(stack: str) -> None:
    git("add", ".")
    git("commit", "--quiet", "--message", "another version")
    subprocess.run(["make", "up", f"STACK={stack}", "ARGS=--yes"], check=True)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_the_engine_goes_back_to_the_commit_before_and_no_further(
    checkout: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = git("rev-list", "--reverse", "HEAD").splitlines()
    assert main(["revert", "--stack", checkout.stack]) == 0
    assert f"going back to {first[:7]} another version" in capfd.readouterr().out
    assert checkout.on_stack("stack", "output", "version").strip() == "one"
    assert [(one.commit, one.dirty) for one in history(checkout)] == [(first, False), (second, False), (first, False)]
    assert git("rev-parse", "HEAD") == second
    assert git("status", "--porcelain") == ""
    assert main(["revert", "--stack", checkout.stack]) == 0
    assert "its last update is not of this commit: nothing to go back from" in capfd.readouterr().out
    assert checkout.on_stack("stack", "output", "version").strip() == "one"


def test_a_commit_that_was_not_fetched_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text(SETTINGS)
    git("init", "--quiet", ".")
    assert main(["revert", "--to", "0" * 40]) == 1
    assert "the whole history has to be fetched (fetch-depth: 0)" in capsys.readouterr().err
