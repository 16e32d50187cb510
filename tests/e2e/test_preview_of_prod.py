"""Stack prod, previewed by the real engine where there are no credentials, no cluster and no past."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT, STRANGE
from tests.provider.programs import engine_folder

pytestmark = pytest.mark.e2e
COUNTS = Path(__file__).with_name("prod_resources.json")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has neither credentials nor settings of their own."""
    engine_folder()
    hidden = (*STRANGE, "AWS_", "KUBECONFIG")
    own = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    cache = {name: value for name, value in os.environ.items() if name == "MODELSTACK_CACHE"}
    return {**own, **cache, "HOME": str(tmp_path_factory.mktemp("home"))}


def preview(environment: dict[str, str], *arguments: str, command: str = "preview") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "ops", command, "--stack", "prod", "--", "--non-interactive", *arguments]
    return subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


def test_it_shows_every_resource_and_its_number_is_known(outside: dict[str, str], tell: Callable[[str], None]) -> None:
    began = time.monotonic()
    done = preview(outside, "--json")
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    found = Counter(one["newState"]["type"] for one in steps)
    assert {one["op"] for one in steps} == {"create"}
    # A resource more or less is a decision: it stands in the same commit as what makes it.
    assert dict(sorted(found.items())) == json.loads(COUNTS.read_text())
    tell(f"preview of prod without credentials: {found.total()} resources in {seconds:.1f} s")


def test_it_says_what_it_is_made_without_and_leaves_nothing(outside: dict[str, str]) -> None:
    before = subprocess.run(["git", "status", "--porcelain"], cwd=PROJECT, capture_output=True, text=True, check=True)
    done = preview(outside)
    assert done.returncode == 0, done.stderr
    assert "no credentials of AWS: everything shows as new, on a state that is thrown away" in done.stderr
    assert "planner in place of pulumi-aws" in done.stdout
    after = subprocess.run(["git", "status", "--porcelain"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert before.stdout == after.stdout
    assert not list(Path(outside["HOME"]).rglob("*.yaml"))


def test_its_comment_says_so_too(outside: dict[str, str]) -> None:
    words = [sys.executable, "-m", "ops", "preview", "--stack", "prod", "--comment", "-"]
    done = subprocess.run(words, cwd=PROJECT, env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no credentials of AWS: everything shows as new" in done.stdout
    assert "aws:eks/cluster:Cluster" in done.stdout
