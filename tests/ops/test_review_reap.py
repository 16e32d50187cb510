"""What `ops review list` and `reap` make of stacks in all states, with the real engine and no cluster."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.review.mark import marked
from ops.review.names import written
from settings import ReviewSettings
from tests.provider.stacks import Project, Stack

NAME = "tiny"
FAR = timedelta(hours=5)
DEAD = "127.0.0.1:1"


@dataclass(frozen=True)
class Shop:
    """A project whose review stacks are in one state each."""

    project: Project

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ops", "review", *arguments]
        environment = self.project.environment
        return subprocess.run(
            command, cwd=self.project.folder, env=environment, capture_output=True, text=True, check=False
        )

    def stack(self, number: int, *further: dict[str, Any], left: timedelta = -FAR, **changes: Any) -> None:
        """Make a stack that expires in `left`."""
        name, folder = f"review-{number}", self.project.folder / "state/.pulumi/stacks" / NAME
        # As the engine would keep it, without a second of its time for each.
        state = json.loads((folder / "dev.json").read_text())
        whole = marked({"deployment": state["checkpoint"]["latest"]}, NAME, name, mark(number, left, **changes))
        whole["deployment"]["resources"] += further
        kept = {**state["checkpoint"], "stack": f"organization/{NAME}/{name}", "latest": whole["deployment"]}
        (folder / f"{name}.json").write_text(json.dumps({**state, "checkpoint": kept}))

    def lock(self, number: int, pid: int) -> None:
        """Have a process of this machine hold a stack."""
        folder = self.project.folder / "state/.pulumi/locks/organization" / NAME / f"review-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        held = {"pid": pid, "username": "me", "hostname": socket.gethostname(), "timestamp": written(datetime.now(UTC))}
        (folder / "one.json").write_text(json.dumps(held))

    def actions(self, *arguments: str) -> tuple[int, dict[str, str]]:
        done = self.run("reap", "--json", *arguments)
        told = json.loads(done.stdout)
        return done.returncode, {one["stack"]: one["action"] for one in told["stacks"]}

    def files(self) -> set[str]:
        """Return the files of review stacks that the backend keeps."""
        below = self.project.folder / "state"
        return {str(path.relative_to(below)) for path in below.rglob("*") if path.is_file() and "review-" in str(path)}


def mark(number: int, left: timedelta, **changes: Any) -> ReviewSettings:
    now = datetime.now(UTC)
    values = {
        "pull_request": number,
        "owner": "someone",
        "created": written(now - 2 * FAR),
        "expires": written(now + left),
        "project": NAME,
        "namespace": f"{NAME}-review-{number}",
        "cluster": "a" * 16,
        "registry": f"{DEAD}/review/{NAME}/{number}",
        "source": "test",
    }
    return ReviewSettings.model_validate(values | changes)


def unreachable_image(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an image that cannot be let go of, since its registry does not answer, and its provider."""
    stack, inputs = f"review-{number}", {"push": DEAD, "repository": f"review/{NAME}/{number}/digits"}
    urn = f"urn:pulumi:{stack}::{NAME}"
    provider = {"urn": f"{urn}::pulumi:providers:modelstack::default", "type": "pulumi:providers:modelstack"}
    image = {"urn": f"{urn}::modelstack:index:ModelImage::digits", "type": "modelstack:index:ModelImage"}
    reference = f"{provider['urn']}::0b5f1ed0-0000-4000-8000-000000000000"
    identifier = f"{DEAD}/{inputs['repository']}:stack-x"
    return (
        {**provider, "custom": True, "id": reference.rpartition("::")[2]},
        {**image, "custom": True, "id": identifier, "provider": reference, "inputs": inputs, "outputs": inputs},
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(Project.make(tmp_path_factory.mktemp("shop"), "import pulumi\n"))
    (made.project.folder / "Pulumi.test.yaml").write_text("config: {modelstack:cluster: {kubeconfig: mine}}\n")
    made.project.stack("dev")
    made.stack(1)
    made.stack(2, left=FAR)
    made.stack(3, project="another")
    made.stack(4, pull_request=5)
    made.stack(5)
    assert Stack(made.project.folder, "review-5", made.project.environment).run("destroy").code == 0
    (made.project.folder / "Pulumi.review-5.yaml").unlink(missing_ok=True)
    made.stack(6, *unreachable_image(6))
    made.stack(7)
    made.stack(8)
    made.lock(7, os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    made.lock(8, process.pid)
    return made


SEEN = {
    "review-1": "reaped",
    "review-2": "kept",
    "review-3": "refused",
    "review-4": "refused",
    "review-5": "reaped",
    "review-6": "failed",
    "review-7": "held",
    "review-8": "reaped",
}


def test_the_list_says_of_each_what_state_it_is_in(shop: Shop) -> None:
    done = shop.run("list", "--json")
    assert done.returncode == 0, done.stderr
    found = {one["pull_request"]: one for one in json.loads(done.stdout)["stacks"]}
    states = {number: one["state"] for number, one in found.items()}
    assert states == {
        1: "expired",
        2: "failed",
        3: "expired",
        4: "expired",
        5: "unknown",
        6: "expired",
        7: "updating",
        8: "expired",
    }
    assert found[2]["owner"] == "someone"
    assert 0 < found[2]["expires_in_seconds"] <= FAR.total_seconds()
    assert found[1]["expires_in_seconds"] < 0
    lines = shop.run("list").stdout.splitlines()
    assert lines[1].split()[:3] == ["1", "someone", "expired"]
    assert "ago" in lines[1]


def test_a_dry_run_shows_what_would_be_reaped_and_changes_nothing(shop: Shop) -> None:
    before = shop.files()
    code, actions = shop.actions("--dry-run")
    # What would fail is not known before it is tried.
    told = {"reaped": "expired", "failed": "expired"}
    assert actions == {stack: told.get(action, action) for stack, action in SEEN.items()}
    assert code == 3
    assert shop.files() == before


def test_neither_one_that_fails_nor_the_lock_of_a_dead_process_stops_the_others(shop: Shop) -> None:
    code, actions = shop.actions()
    assert actions == SEEN
    assert code == 1
    assert not [name for name in shop.files() if re.search("review-[158]", name)]
    left = {path.stem for path in (shop.project.folder / "state/.pulumi/stacks" / NAME).glob("*.json")}
    assert left == {"dev", *(stack for stack, action in SEEN.items() if action != "reaped")}


def test_the_checkout_holds_no_file_of_a_review_stack(shop: Shop) -> None:
    assert [path.name for path in shop.project.folder.glob("Pulumi.review-*")] == []


def test_a_stack_that_a_living_process_holds_is_not_taken_down_either(shop: Shop) -> None:
    done = shop.run("down", "7")
    assert done.returncode == 3
    assert f"refused: stack review-7: is held by process {os.getpid()} of me@" in done.stderr


def test_a_stack_that_was_killed_before_it_had_a_mark_goes_by_its_name(shop: Shop) -> None:
    shop.project.stack("review-9")
    assert shop.actions("--dry-run")[1]["review-9"] == "refused"
    done = shop.run("down", "9", "--json")
    assert json.loads(done.stdout) == {"stack": "review-9", "removed": True}
    assert json.loads(shop.run("down", "9", "--json").stdout) == {"stack": "review-9", "removed": False}
