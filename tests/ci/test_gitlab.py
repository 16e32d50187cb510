"""GitLab's pipeline by gitlab-ci-local, with the shell executor: what runs when, and its jobs on a platform."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.roots import RootSpec, libraries, root
from local.steps import Steps
from model_build.places import cache_root
from tests.conftest import Platform
from tests.e2e.checkout import Checkout, Done, clone
from tests.e2e.conftest import OF_THIS_RUN

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

LOCK = Path(__file__).parent / "gitlab"
RSYNC = RootSpec("rsync", packages=("rsync",))
TINY = """\
config:
  modelstack:models:
    digits: {recipe: models/digits/recipe.yaml, replicas: 1}
  modelstack:monitoring: {enabled: false}
"""
WHO = {
    f"GIT_{role}_{what}": f"{what.lower()}@example.test"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
# One stack for all, and of the checks and tests a part: that each passes is another test's matter.
OF_THIS_TEST = {
    "STAGING": "tiny",
    "PROD": "tiny",
    "MINUTES": "0",
    "RECIPES": "models/digits/recipe.yaml",
    "PYTEST_ADDOPTS": "-k watch",
    "CI_DEFAULT_BRANCH": "main",
    "MODELSTACK_CACHE": str(cache_root()),
}


@dataclass(frozen=True)
class Pipeline:
    """The pipeline of a clone that is a repository of its own."""

    program: Path
    checkout: Checkout

    def run(self, *further: str, **variables: str) -> Done:
        """Run it, or with `--list-json` tell its jobs."""
        given = OF_THIS_TEST | variables
        named = [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
        quiet = ["--ignore-predefined-vars", "CI_DEFAULT_BRANCH,CI_PIPELINE_SOURCE,CI_COMMIT_BRANCH"]
        return self.checkout.run(
            str(self.program), "--force-shell-executor", "--evaluate-rule-changes=false", *quiet, *named, *further
        )

    def jobs(self, **variables: str) -> set[str]:
        """Return the names of the jobs that such a pipeline has."""
        done = self.run("--list-json", **variables)
        assert done.code == 0, done.said
        listed = json.loads(done.said[done.said.index("\n[") :].rpartition("]")[0] + "]")
        return {job["name"] for job in listed if job["when"] != "never"}

    def commit(self) -> str:
        """Commit what changed and return the commit."""
        for command in (("add", "."), ("commit", "--quiet", "--message", "a change")):
            assert self.checkout.run("git", *command).code == 0
        return self.checkout.run("git", "rev-parse", "HEAD").said.strip()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gitlab-ci-local")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCK / name, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    programs = folder / "node_modules/.bin"
    # It copies a job's files by rsync, whose libraries no job should see.
    tree = root(RSYNC, cache_root(), Steps())
    found = " ".join(f"{name}={shlex.quote(value)}" for name, value in libraries(tree).items())
    (programs / "rsync").write_text(f'#!/bin/sh\n{found} exec {tree}/usr/bin/rsync "$@"\n')
    (programs / "rsync").chmod(0o755)
    return programs / "gitlab-ci-local"


def pipeline_in(folder: Path, program: Path, environment: dict[str, str]) -> Pipeline:
    clone(folder)
    (folder / "Pulumi.tiny.yaml").write_text(TINY)
    path = f"{environment['PATH']}{os.pathsep}{program.parent}"
    found = Pipeline(program, Checkout(folder, environment | WHO | {"PATH": path}))
    for command in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("remote", "add", "origin", "git@gitlab.example.test:team/models.git"),
    ):
        assert found.checkout.run("git", *command).code == 0
    (folder / ".git/info/exclude").write_text(".gitlab-ci-local/\n")
    found.commit()
    return found


@pytest.fixture(scope="module")
def bare(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return pipeline_in(tmp_path_factory.mktemp("bare") / "modelstack", program, dict(os.environ))


@pytest.fixture(scope="module")
def running(platform: Platform, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("running") / "modelstack"
    kept = {name: value for name, value in platform.environment.items() if name not in OF_THIS_RUN}
    path = f"{folder}/.venv/bin{os.pathsep}{kept['PATH']}"
    found = pipeline_in(folder, program, kept | {"PYTHON": sys.executable, "PATH": path})
    # Jobs share the clone here, and the first ones begin at the same time.
    assert found.checkout.run("make", "venv").code == 0
    yield found
    found.checkout.make("destroy", "tiny")


def test_a_merge_request_is_previewed_and_reviewed_and_deploys_nothing(bare: Pipeline) -> None:
    jobs = bare.jobs(CI_PIPELINE_SOURCE="merge_request_event", CI_COMMIT_BRANCH="")
    checked = {"gates", "check", "test", "audit"}
    assert jobs == checked | {"preview", "review up", "review down"}


def test_a_schedule_looks_for_drift_and_reaps_and_deploys_nothing(bare: Pipeline) -> None:
    assert bare.jobs(CI_PIPELINE_SOURCE="schedule") == {"audit", "drift: [staging]", "drift: [prod]", "reap"}
    assert bare.jobs(CI_PIPELINE_SOURCE="schedule", REFRESH="true") == {"refresh: [digits]", "refresh: [mnist]"}


@pytest.mark.e2e
@pytest.mark.build
def test_a_commit_is_built_tested_deployed_and_watched_and_a_bad_one_goes_back(running: Pipeline) -> None:
    good = running.run("--manual", "deploy prod")
    assert good.code == 0, good.said
    assert good.said.count("digits: 357/360 correct over HTTP") == 2
    assert "going back to" not in good.said
    first = running.checkout.run("git", "rev-parse", "HEAD").said.strip()
    tiny = running.checkout.folder / "Pulumi.tiny.yaml"
    tiny.write_text(TINY.replace("replicas: 1", "replicas: 2"))
    second = running.commit()
    # What `make` makes words of: an accuracy that no model reaches.
    bad = running.run("--manual", "deploy prod", MINUTES="0 --min-accuracy 1")
    assert bad.code != 0
    assert "is below --min-accuracy 1.0" in bad.said
    assert f"going back to {first[:7]} a change" in bad.said
    ran = json.loads(running.checkout.run("pulumi", "stack", "history", "--json", "--stack", "tiny").said)
    assert [one["environment"]["git.head"] for one in ran] == [first, second, first, first]
    assert [one["result"] for one in ran] == ["succeeded"] * 4
    assert running.checkout.planned("tiny")["kubernetes:apps/v1:Deployment::digits"] == "update"
    tiny.write_text(TINY)
    assert running.checkout.planned("tiny") == {}
