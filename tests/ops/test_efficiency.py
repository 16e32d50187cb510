"""E from a real git repository and the histories of stacks: what each of the three times is, and what has no data."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ops import efficiency
from ops.__main__ import main
from ops.engine import Engine
from tests.provider.stacks import Project

DAY = timedelta(days=1)
START = datetime(2026, 11, 1, tzinfo=UTC)
DATE = "2026-12-01"
PULUMI = """#!/bin/sh
case "$1 $2" in
  "stack ls") echo '[{{"name": "test"}}, {{"name": "prod"}}]' ;;
  "stack history")
    case "$*" in
      *"--page 1 "*"--stack test"*) cat {folder}/test.json ;;
      *"--page 1 "*"--stack prod"*) cat {folder}/prod.json ;;
      *) echo "[]" ;;
    esac ;;
esac
"""


@dataclass
class House:
    """A repository in `folder`, and what its stacks' histories tell."""

    folder: Path
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"test": [], "prod": []})

    def git(self, *arguments: str, at: datetime = START, written: datetime | None = None) -> str:
        dates = {"GIT_AUTHOR_DATE": (written or at).isoformat(), "GIT_COMMITTER_DATE": at.isoformat()}
        named = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *named, *arguments],
            cwd=self.folder,
            env=os.environ | dates,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, at: datetime, written: datetime | None = None) -> str:
        self.git("commit", "--allow-empty", "--message", "change", at=at, written=written)
        return self.git("rev-parse", "HEAD")

    def merge(self, begun: datetime, merged: datetime) -> str:
        """Merge a branch of two commits, of which the first was written at `begun`."""
        self.git("checkout", "--quiet", "-b", "work")
        self.commit(begun + timedelta(hours=1), written=begun)
        self.commit(begun + timedelta(hours=2))
        self.git("checkout", "--quiet", "main")
        self.git("merge", "--no-ff", "--message", "merge", "work", at=merged)
        self.git("branch", "--quiet", "--delete", "work")
        return self.git("rev-parse", "HEAD")

    def up(self, stack: str, commit: str, start: datetime, took: timedelta, result: str = "succeeded") -> None:
        entry = {
            "kind": "update",
            "result": result,
            "environment": {"git.head": commit},
            "startTime": start.isoformat().replace("+00:00", ".000Z"),
            "endTime": (start + took).isoformat().replace("+00:00", ".000Z"),
        }
        # The newest comes first.
        self.histories[stack].insert(0, entry)
        (self.folder / f"{stack}.json").write_text(json.dumps(self.histories[stack]))

    def case(self, at: datetime, dev: float, test: float, deploy: float) -> None:
        """A change that took so many days to write, to be tested and to be deployed."""
        merged = at + dev * DAY
        commit = self.merge(at, merged)
        self.up("test", commit, merged + test * DAY - timedelta(minutes=5), timedelta(minutes=5))
        self.up("prod", commit, merged + (test + 1) * DAY, deploy * DAY)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House(tmp_path)
    made.git("init", "--quiet", "--initial-branch", "main")
    (tmp_path / "pulumi").write_text(PULUMI.format(folder=tmp_path))
    (tmp_path / "pulumi").chmod(0o755)
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    for stack in made.histories:
        (tmp_path / f"Pulumi.{stack}.yaml").write_text("config: {modelstack:cluster: {kubeconfig: mine}}")
        (tmp_path / f"{stack}.json").write_text("[]")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    made.commit(START - 100 * DAY)
    return made


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code = main(["efficiency", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)["periods"]


@pytest.mark.parametrize(("times", "wanted"), [((5, 2, 1), 2.67), ((3, 1, 0.5), 1.5)])
def test_the_worked_cases(times: tuple[float, float, float], wanted: float) -> None:
    assert round(efficiency.efficiency(*times), 2) == wanted


def test_before_and_after_a_date(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.case(START, 5, 2, 1)
    house.case(START + 40 * DAY, 3, 1, 0.5)
    code, (_, after) = asked(capsys, "--before", DATE)
    assert code == 0
    assert (after["t_dev"], after["t_test"], after["t_deploy"], after["E"]) == (3, 1, 0.5, 1.5)
    assert main(["efficiency", "--before", DATE]) == 0
    # The first period has the repository's first commit too, which was never deployed by itself.
    assert capsys.readouterr().out.splitlines()[1] == (
        "from 2026-12-01 on: E = 1.50 days of 1 changes; medians: dev 3.00 (of 1), test 1.00 (of 1), deploy 0.50 (of 1)"
    )
    _, (period,) = asked(capsys, "--from", "2026-11-01", "--to", DATE)
    assert round(period["E"], 2) == 2.67
    _, (hours,) = asked(capsys, "--from", "2026-12-01", "--unit", "hours")
    assert hours["E"] == 36


def test_the_median_of_several_changes_counts(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    for number, days in enumerate((1, 2, 30)):
        house.case(START + number * 10 * DAY, days, 1, 1)
    _, (period,) = asked(capsys, "--from", "2026-11-01")
    assert (period["t_dev"], period["counts"]) == (2, {"dev": 3, "test": 3, "deploy": 3})


def test_deploying_lasts_from_the_first_try_to_the_first_success(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = house.merge(START, START + DAY)
    house.up("test", commit, START + DAY, timedelta(hours=6), "failed")
    house.up("test", commit, START + 2 * DAY, timedelta(hours=6))
    house.up("prod", commit, START + 3 * DAY, timedelta(hours=6), "failed")
    house.up("prod", commit, START + 4 * DAY, timedelta(hours=12))
    house.up("prod", commit, START + 9 * DAY, timedelta(hours=12))
    _, (period,) = asked(capsys, "--from", "2026-11-01")
    assert (period["t_test"], period["t_deploy"]) == (1.25, 1.5)


def test_a_later_commit_deploys_the_changes_before_it(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.merge(START, START + DAY)
    last = house.merge(START + DAY, START + 2 * DAY)
    for stack in house.histories:
        house.up(stack, last, START + 3 * DAY, DAY)
    _, (period,) = asked(capsys, "--from", "2026-11-01")
    assert period["counts"] == {"dev": 2, "test": 2, "deploy": 2}
    assert period["t_test"] == 2.5


def test_what_has_no_data_is_said_and_is_not_zero(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    commit = house.merge(START, START + DAY)
    house.up("test", commit, START + 2 * DAY, DAY)
    house.up("prod", commit, START + 4 * DAY, DAY, "failed")
    assert main(["efficiency", "--from", "2026-11-01"]) == 3
    said = capsys.readouterr()
    assert "E = no data of 1 changes; medians: dev 1.00 (of 1), test 2.00 (of 1), deploy no data" in said.out
    assert "stack prod: its history has no `up` that succeeded" in said.err
    _, (period,) = asked(capsys, "--from", "2026-11-01")
    assert (period["E"], period["t_deploy"], period["counts"]["deploy"]) == (None, None, 0)


def test_an_up_of_a_commit_that_the_clone_lacks_counts_for_nothing(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.case(START, 5, 2, 1)
    house.up("test", "1" * 40, START, timedelta(minutes=1))
    _, (period,) = asked(capsys, "--from", "2026-11-01")
    assert round(period["E"], 2) == 2.67


def test_a_shallow_clone_is_refused(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.commit(START)
    house.git("clone", "--quiet", "--depth", "1", f"file://{tmp_path}", "shallow")
    for name in ("Pulumi.yaml", "Pulumi.test.yaml", "Pulumi.prod.yaml"):
        (tmp_path / "shallow" / name).write_text((tmp_path / name).read_text())
    monkeypatch.chdir(tmp_path / "shallow")
    assert main(["efficiency", "--before", DATE]) == 1
    assert "this clone is shallow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--before: is missing"),
        (("--before", "yesterday"), "--before: 'yesterday' is no date"),
        (("--before", DATE, "--from", DATE), "--before: makes two periods"),
        (("--from", DATE, "--to", DATE), "--to: 2026-12-01 is not after --from"),
        (("--before", DATE, "--branch", "none"), "name a branch that it has"),
    ],
)
def test_what_makes_no_period_is_refused(
    house: House, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert main(["efficiency", *arguments]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.build
def test_the_history_of_a_real_stack_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.make(tmp_path / "project", "")
    house = House(project.folder)
    house.git("init", "--quiet", "--initial-branch", "main")
    stack = project.stack("real")
    commits = []
    for _ in range(2):
        commits.append(house.commit(START))
        assert stack.run("up").code == 0
    monkeypatch.setattr(efficiency, "PAGE", 1)
    found = efficiency.updates(Engine(stack.folder, stack.name, stack.environment))
    assert [one.commit for one in found] == commits
    assert all(one.succeeded and one.end >= one.start for one in found)
