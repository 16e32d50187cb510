"""Review stacks on the embedded platform: up beside dev, served, listed, expired, reaped, and nothing of them left."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.conftest import Platform, run_local
from tests.e2e.checkout import Checkout, Done
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import blobs
from tests.e2e.test_teardown import tags

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

MODELS = ("digits", "mnist")
FAR_AWAY = "0123456789abcdef"


@dataclass(frozen=True)
class Reviews:
    """`ops review` in the clone, beside stack dev."""

    checkout: Checkout
    platform: Platform
    cluster: Cluster

    def run(self, *arguments: str) -> Done:
        return self.checkout.run("python", "-m", "ops", "review", *arguments)

    def must(self, *arguments: str) -> Any:
        command = ["python", "-m", "ops", "review", *arguments, "--json"]
        done = subprocess.run(
            command,
            cwd=self.checkout.folder,
            env=dict(self.checkout.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["python", "-m", "ops", "review", *arguments]
        environment = dict(self.checkout.environment)
        return subprocess.Popen(
            command,
            cwd=self.checkout.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def listed(self) -> dict[int, dict[str, Any]]:
        return {one["pull_request"]: one for one in self.must("list")["stacks"]}

    def serves(self, number: int) -> bool:
        found = self.listed()[number]["endpoint"]
        urls = (f"{found[name]}/v2/models/{name}/ready" for name in MODELS)
        return all(urllib3.request("GET", url, timeout=10).status == 200 for url in urls)

    def tags(self, repository: str) -> list[str]:
        return tags(self.platform.connection.registry.push, repository)

    def edit_mark(self, number: int, **changes: str) -> dict[str, str]:
        """Change a stack's mark into one that was made elsewhere or long ago; returns what it was."""
        stack = ("--stack", f"review-{number}")
        state = self.checkout.run("pulumi", "stack", "export", *stack)
        document = json.loads(state.said)
        root = next(one for one in document["deployment"]["resources"] if one["type"] == "pulumi:pulumi:Stack")
        before = dict(root["outputs"]["review"])
        root["outputs"]["review"] |= changes
        file = Path(self.platform.environment["MODELSTACK_DATA"], "edited.json")
        file.write_text(json.dumps(document))
        done = self.checkout.run("pulumi", "stack", "import", *stack, "--file", str(file))
        file.unlink()
        assert done.code == 0, done.said
        return before

    def everything(self) -> dict[str, frozenset[str]]:
        """Return what lies where a stack could leave something: API server, registry, disk, states, checkout."""
        own = self.platform.environment
        data = Path(own["MODELSTACK_DATA"], own["MODELSTACK_INSTANCE"])
        kinds = "namespaces,clusterroles,clusterrolebindings,persistentvolumes,customresourcedefinitions"
        objects = [*self.cluster.items(kinds), *self.cluster.items("pods,services,secrets,configmaps,deployments")]
        named = (one["metadata"] for one in objects)
        links = (data / "volumes" / "registry").glob("docker/registry/v2/repositories/**/link")
        reviews = re.compile(r"(^|[^a-z])review[-/]")
        return {
            "API server": frozenset(f"{one.get('namespace', '')}/{one['name']}" for one in named),
            "registry": frozenset(str(path) for path in links if "/review/" in str(path)),
            "blobs": blobs(self.platform),
            "states": frozenset(
                str(one) for one in (data / "state").rglob("*") if one.is_file() and reviews.search(str(one))
            ),
            "checkout": frozenset(str(path) for path in self.checkout.folder.glob("*")),
            "keys": frozenset(str(path) for path in (*data.rglob("*.key"), *self.checkout.folder.glob("*.key"))),
        }


@pytest.fixture(scope="module")
def reviews(checkout: Checkout, first_up: str, platform: Platform, cluster: Cluster) -> Iterator[Reviews]:
    """Stack dev, and the stacks of pull requests 7 and 8, brought up at the same time."""
    made = Reviews(checkout, platform, cluster)
    yield made
    for number in ("7", "8"):
        made.run("down", number)


@pytest.fixture(scope="module")
def before(reviews: Reviews) -> dict[str, frozenset[str]]:
    run_local(dict(reviews.platform.environment), "collect")
    return reviews.everything()


@pytest.fixture(scope="module")
def said(reviews: Reviews, before: dict[str, frozenset[str]]) -> dict[int, str]:
    """What the first `up` of each printed."""
    running = {
        number: reviews.start("up", str(number), "--owner", f"owner-{number}", "--ttl", "2h") for number in (7, 8)
    }
    told = {number: process.communicate(timeout=600)[0] for number, process in running.items()}
    assert [process.returncode for process in running.values()] == [0, 0], told
    return told


def test_hostile_names_are_refused_before_anything_is_made(reviews: Reviews, before: dict[str, frozenset[str]]) -> None:
    for arguments in (
        ("../x",),
        ("1;rm",),
        ("1" * 200,),
        ("\u0661",),
        ("7", "--owner", "a\nb"),
        ("7", "--from", "../dev"),
    ):
        done = reviews.run("up", *arguments)
        assert (done.code, len(done.said.splitlines())) == (2, 1), done.said
    assert reviews.everything() == before


def test_two_at_once_serve_what_dev_has_built_and_build_nothing(reviews: Reviews, said: dict[int, str]) -> None:
    images = {name: one["image"].partition("@")[2] for name, one in reviews.checkout.outputs()["models"].items()}
    found = reviews.listed()
    for number in (7, 8):
        assert all(f"copied from modelstack/{name}" in said[number] for name in MODELS), said[number]
        assert {name: one["digest"] for name, one in found[number]["models"].items()} == images
        assert (found[number]["state"], found[number]["owner"]) == ("running", f"owner-{number}")
        assert reviews.serves(number)
    assert found[7]["endpoint"] != found[8]["endpoint"]


def test_each_has_a_namespace_repositories_and_a_key_of_its_own(reviews: Reviews, said: dict[int, str]) -> None:
    for number in (7, 8):
        namespace = reviews.cluster.get("namespace", f"modelstack-review-{number}")
        assert namespace["metadata"]["annotations"]["modelstack.dev/review-owner"] == f"owner-{number}"
        assert [tag for tag in reviews.tags(f"review/modelstack/{number}/digits") if tag.endswith(".sig")]
    assert not [tag for tag in reviews.tags("modelstack/digits") if "review" in tag or tag.endswith(".sig")]
    states = Path(reviews.platform.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    kept = b"".join(path.read_bytes() for path in states.rglob("*review-*") if path.is_file())
    assert kept.count(b"review:signingKey")
    key = b"-----BEGIN PRIVATE KEY"  # pragma: allowlist secret
    assert not [one for one in (key[-11:], base64.b64encode(key)) if one in kept]


def test_the_list_is_a_table_for_people(reviews: Reviews, said: dict[int, str]) -> None:
    lines = reviews.run("list").said.splitlines()
    assert lines[0].split()[:3] == ["PR", "OWNER", "STATE"]
    assert [line.split()[:3] for line in lines[1::2]] == [["7", "owner-7", "running"], ["8", "owner-8", "running"]]


def test_a_second_up_renews_and_changes_nothing_else(reviews: Reviews, said: dict[int, str], tmp_path: Path) -> None:
    before = reviews.listed()[7]
    pods = pod_names(reviews.cluster, 7)
    after = reviews.must("up", "7", "--ttl", "3h")
    assert after["expires"] > before["expires"]
    assert (after["created"], after["owner"]) == (before["created"], "owner-7")
    assert (after["models"], after["endpoint"]) == (before["models"], before["endpoint"])
    assert pod_names(reviews.cluster, 7) == pods
    told = tmp_path / "up.json"
    told.write_text(json.dumps(after))
    done = reviews.checkout.run("python", "-m", "ops", "predict", "--outputs", str(told))
    assert done.code == 0, done.said


def test_what_expired_is_reaped_and_what_is_of_another_cluster_is_refused(
    reviews: Reviews, said: dict[int, str]
) -> None:
    reviews.edit_mark(7, expires="2026-01-01T00:00:00Z")
    there = reviews.edit_mark(8, expires="2026-01-01T00:00:00Z", cluster=FAR_AWAY)
    assert {one["state"] for one in reviews.listed().values()} == {"expired"}
    assert reviews.run("down", "8").code == 3
    dry = reviews.run("reap", "--dry-run")
    assert dry.code == 3
    assert "review-7: expired, of owner-7" in dry.said
    done = reviews.run("reap")
    assert done.code == 3
    assert "review-7: reaped" in done.said
    assert f"review-8: refused, stack review-8: was made in cluster {FAR_AWAY}" in done.said
    assert set(reviews.listed()) == {8}
    assert reviews.serves(8)
    reviews.edit_mark(8, cluster=there["cluster"])


def test_nothing_of_them_is_left(reviews: Reviews, before: dict[str, frozenset[str]], said: dict[int, str]) -> None:
    assert reviews.must("down", "8") == {"stack": "review-8", "removed": True}
    assert reviews.must("list") == {"stacks": []}
    assert reviews.must("reap") == {"dry_run": False, "stacks": []}
    after = reviews.everything()
    assert {place: after[place] ^ found for place, found in before.items()} == dict.fromkeys(before, frozenset())


def pod_names(cluster: Cluster, number: int) -> set[str]:
    pods = cluster.items("pods", f"modelstack-review-{number}")
    return {one["metadata"]["name"] for one in pods if one["status"]["phase"] == "Running"}
