"""Drift of a stack of the real engine whose images lie in a real registry; the exit code tells which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ops import drift
from ops.__main__ import main
from ops.streamed import MARK, OF_SECRETS
from tests.provider.stacks import Project, Stack
from tests.registry import push, running_registry

pytestmark = pytest.mark.build

NAME = "team/server"
PROGRAM = """
import os
import pulumi
from provider.resources import Password, PinnedImage, PinnedImageArgs

PinnedImage("server", PinnedImageArgs(image=os.environ["IMAGE"]))
PinnedImage("other", PinnedImageArgs(image=os.environ["IMAGE"]))
Password("key")
"""


def pinned(folder: Path, host: str, tag: str) -> Stack:
    """A stack that has pinned an image's tag."""
    stack = Project.make(folder, PROGRAM).stack("pinned", IMAGE=f"{host}/{NAME}:{tag}")
    done = stack.run("up")
    assert done.code == 0, done.said
    return stack


def looked_at(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """The exit code and the report of `ops drift`."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    # Its own cluster, which nobody asks: nothing of the embedded platform is started.
    (stack.folder / f"Pulumi.{stack.name}.yaml").write_text("config: {modelstack:cluster: {kubeconfig: none}}")
    monkeypatch.chdir(stack.folder)
    code = main(["drift", stack.name, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else said.err


def test_a_tag_that_has_moved_is_drift_and_the_state_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_registry(tmp_path / "registry") as host:
        first = push(host, NAME, "one", "moving")
        stack = pinned(tmp_path / "project", host, "moving")
        code, report = looked_at(stack, monkeypatch, capsys)
        assert (code, report["drift"], report["checked"]) == (0, False, 3)
        before = stack.deployment()
        second = push(host, NAME, "two", "moving")
        code, report = looked_at(stack, monkeypatch, capsys)
        assert code == 3
        assert [(one["name"], one["change"]) for one in report["resources"]] == [
            ("other", "moved"),
            ("server", "moved"),
        ]
        (field,) = report["resources"][0]["fields"]
        assert (field["state"], field["found"]) == (first, second)
        assert "pulumi up --replace" in report["warnings"][0]
        assert stack.deployment() == before


def test_a_registry_that_is_away_is_an_error_and_no_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_registry(tmp_path / "registry") as host:
        push(host, NAME, "one", "away")
        stack = pinned(tmp_path / "project", host, "away")
    code, said = looked_at(stack, monkeypatch, capsys)
    assert code == 1
    assert host in said


def test_a_stack_that_there_is_none_of_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.make(tmp_path / "project", PROGRAM)
    code, said = looked_at(Stack(project.folder, "none", project.environment), monkeypatch, capsys)
    assert code == 1
    assert said == "error: STACK: stack 'none' does not exist; bring it up, or name another\n"


def step(kind: str, inputs: dict[str, Any], found: dict[str, Any], *paths: str) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::shop::{kind}::one"
    old = {"urn": urn, "type": kind, "custom": True, "id": "shop/one", "inputs": inputs}
    return {
        "urn": urn,
        "op": "update",
        "old": old,
        "new": {**old, "inputs": found},
        "detailedDiff": {path: {"diffKind": "update-replace"} for path in paths},
    }


def test_no_value_of_a_secret_is_told_whether_the_engine_hides_it_or_not() -> None:
    plain = step("kubernetes:core/v1:Secret", {"data": {"key": "b2xk"}}, {"data": {"key": "bmV3"}}, "data.key")
    hidden = step("kubernetes:apps/v1:Deployment", {"spec": {MARK: OF_SECRETS}}, {"spec": {"key": "bmV3"}}, "spec.key")
    within = step("kubernetes:v1:Other", {"a": {"key": {MARK: OF_SECRETS}}}, {"a": {"key": "bmV3"}}, "a")
    for one in drift.drifted([plain, hidden, within]):
        assert [(field.state, field.found) for field in one.fields] == [(drift.SECRET, drift.SECRET)]
        assert "bmV3" not in "".join(one.lines())


def test_of_a_long_text_the_first_line_that_differs_is_told() -> None:
    before, after = "global\nmaxconn 1\nend\n", "global\nmaxconn 2\nend\n"
    found = step(
        "kubernetes:core/v1:ConfigMap", {"data": {"a.cfg": before}}, {"data": {"a.cfg": after}}, 'data["a.cfg"]'
    )
    (one,) = drift.drifted([found])
    assert one.lines()[1] == '  data["a.cfg"]: 3 lines → 3, from line 2 on: "maxconn 1" → "maxconn 2"'


def test_an_object_that_is_gone_is_told_with_the_way_to_have_it_back() -> None:
    gone = {**step("kubernetes:core/v1:Service", {}, {}), "op": "delete", "new": None, "detailedDiff": None}
    report = drift.Report("dev", 7, tuple(drift.drifted([gone])), ())
    remedy = "`python -m ops up --stack dev -- --refresh` puts it right (docs/operations.md: conflicts)"
    assert report.lines() == [
        "kubernetes:core/v1:Service one (shop/one): is gone",
        f"stack dev: drift in 1 of 7 resources; {remedy}",
    ]
