"""A change's way and back on real pods: newer data, a branch, a merge, a watch, how long it took, and the way back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.checkout import Checkout, Done, clone
from tests.older import BRANCH, RECIPE, git, pin_the_version_before

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

STACK = "round"
SETTINGS = f"config:\n  modelstack:models:\n    mnist: {{recipe: {RECIPE}}}\n"


def ops(repository: Checkout, *arguments: str) -> Done:
    return repository.run(".venv/bin/python", "-m", "ops", *arguments)


def served(repository: Checkout) -> str:
    image: str = repository.outputs(STACK)["models"]["mnist"]["image"]
    return image.partition("@")[2]


@pytest.fixture(scope="module")
def repository(checkout: Checkout, first_up: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A repository of this project with a stack of one model on older data, which was up once."""
    folder = tmp_path_factory.mktemp("round") / "modelstack"
    clone(folder)
    (folder / f"Pulumi.{STACK}.yaml").write_text(SETTINGS)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    pin_the_version_before(folder)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The version before")
    path = checkout.environment["PATH"].replace(str(checkout.folder), str(folder))
    own = Checkout(folder, {**checkout.environment, "PATH": path})
    own.must("up", STACK)
    yield own
    own.must("destroy", STACK)


@pytest.fixture(scope="module")
def digests(repository: Checkout) -> tuple[str, str]:
    """What the stack served before newer data came by a branch that was merged, and after."""
    before = served(repository)
    done = ops(repository, "refresh", "mnist", "--stack", STACK)
    assert done.code == 0, done.said
    git(repository.folder, "merge", "--quiet", "--no-ff", "--message", "Newer data", BRANCH)
    plan = repository.planned(STACK)
    assert plan["modelstack:index:ModelImage::mnist"] == "update"
    repository.must("up", STACK)
    return before, served(repository)


def test_what_was_merged_is_served(digests: tuple[str, str]) -> None:
    before, after = digests
    assert before != after


def test_a_watch_of_a_good_version_is_satisfied(repository: Checkout, digests: tuple[str, str]) -> None:
    done = ops(repository, "watch", "--stack", STACK, "--minutes", "0")
    assert done.code == 0, done.said
    assert done.said.count(" correct over HTTP") == 1


def test_efficiency_tells_the_times_of_both_changes(repository: Checkout, digests: tuple[str, str]) -> None:
    named = ("--test-stack", STACK, "--deploy-stack", STACK, "--unit", "hours", "--json")
    done = ops(repository, "efficiency", "--from", oldest_commit(repository.folder), *named)
    assert done.code == 0, done.said
    (period,) = json.loads(done.said)["periods"]
    assert period["counts"] == {"dev": 2, "test": 2, "deploy": 2}
    parts = [period[f"t_{part}"] for part in ("dev", "test", "deploy")]
    assert period["E"] == pytest.approx(statistics.mean(parts))
    assert 0 < period["t_deploy"] <= period["t_test"] < 1


def test_a_version_below_its_limit_is_sent_back_and_the_one_before_serves(
    repository: Checkout, digests: tuple[str, str]
) -> None:
    before, _ = digests
    watched = ops(repository, "watch", "--stack", STACK, "--minutes", "0", "--every", "0", "--min-accuracy", "1")
    assert watched.code == 1, watched.said
    done = ops(repository, "revert", "--stack", STACK)
    assert done.code == 0, done.said
    assert "going back to" in done.said
    assert served(repository) == before
    again = ops(repository, "revert", "--stack", STACK)
    assert (again.code, again.said.splitlines()[-1].split(":")[-1]) == (0, " nothing to go back from")


def oldest_commit(folder: Path) -> str:
    """When the first commit was made, as a period begins."""
    oldest = min(int(one) for one in git(folder, "log", "--format=%ct").split())
    return datetime.fromtimestamp(oldest, UTC).isoformat()
