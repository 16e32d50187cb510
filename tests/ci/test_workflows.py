"""What actionlint and zizmor do not hold workflows to; `make check` runs those two."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.build import GO_MINIMUM

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob(".github/workflows/*.yml")) + sorted(ROOT.glob(".github/actions/*/action.yml"))
WORKFLOWS = [path for path in FILES if path.parent.name == "workflows"]
# One command of the project with plain words and quoted variables: a shell's syntax would be logic outside of any test.
COMMAND = re.compile(
    r"(make|\.venv/bin/python -m ops|aws eks update-kubeconfig|gh auth setup-git)( [\w./=-]+| (?:\w+=)?\"\$\w+\")*"
)


def of(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{path.stem}.{name}", job) for path in WORKFLOWS for name, job in of(path)["jobs"].items()]


def steps() -> list[dict[str, Any]]:
    own = [step for path in FILES if path not in WORKFLOWS for step in of(path)["runs"]["steps"]]
    return own + [step for _, job in jobs() for step in job["steps"]]


# YAML 1.1 reads the key `on` as true.
ON = True


def may(job: dict[str, Any]) -> set[str]:
    return set(job["permissions"])


def is_of_a_fork(job: dict[str, Any]) -> bool:
    return "head.repo.full_name != github.repository" in str(job.get("if"))


def test_there_are_the_workflows_that_the_page_describes() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    assert [path.name for path in WORKFLOWS if f"`{path.name}`" not in page] == []
    assert len(WORKFLOWS) == 6


def test_every_foreign_action_is_pinned_by_a_commit_with_its_version_beside_it() -> None:
    used = [line.strip() for path in FILES for line in path.read_text().splitlines() if "uses:" in line]
    foreign = [line for line in used if "uses: ./" not in line]
    assert foreign
    assert [one for one in foreign if not re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", one)] == []


def test_every_command_of_a_workflow_is_one_of_this_project() -> None:
    ran = [step["run"] for step in steps() if "run" in step]
    assert ran
    assert [one for one in ran if not COMMAND.fullmatch(one)] == []


def test_every_subcommand_that_a_workflow_runs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {word for step in steps() for word in re.findall(r"^make ([\w-]+)", step.get("run", ""))}
    assert made - targets == set()


def test_no_workflow_runs_with_rights_on_code_of_a_fork() -> None:
    assert all(not {"pull_request_target", "workflow_run"} & set(of(path)[ON]) for path in WORKFLOWS)
    forks = [job for _, job in jobs() if is_of_a_fork(job)]
    assert forks
    assert all(job["permissions"] == {"contents": "read"} and "environment" not in job for job in forks)
    assert "secrets." not in str(forks)


def test_a_job_of_a_pull_request_with_an_identity_is_not_run_for_forks() -> None:
    asked = [job for path in WORKFLOWS if "pull_request" in of(path)[ON] for job in of(path)["jobs"].values()]
    identified = [job for job in asked if "id-token" in may(job)]
    assert identified
    assert all("head.repo.full_name == github.repository" in job["if"] for job in identified)


def test_every_job_has_a_time_limit_and_a_group() -> None:
    grouped = {path.stem: "concurrency" in of(path) for path in WORKFLOWS}
    bare = [name for name, job in jobs() if not ("concurrency" in job or grouped[name.partition(".")[0]])]
    assert bare == []
    assert [name for name, job in jobs() if "timeout-minutes" not in job] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_gives_no_right_to_jobs_that_name_none(path: Path) -> None:
    assert of(path)["permissions"] == {}


def test_workflows_use_the_versions_that_the_project_needs() -> None:
    given = {key: str(value) for step in steps() for key, value in step.get("with", {}).items()}
    engine = re.search(r"^pulumi==(\S+)$", (ROOT / "requirements.txt").read_text().replace(" \\", ""), re.MULTILINE)
    assert engine
    assert given["pulumi-version"] == engine[1]
    assert given["go-version"] == ".".join(map(str, GO_MINIMUM))
