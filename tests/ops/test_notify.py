"""A command that fails tells whom the stack's settings name, and its exit code stays its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ops import failures
from ops.__main__ import main
from ops.events import of_log
from ops.review import reap
from tests.provider.stacks import Project, Stack
from tests.receivers import hook

CLUSTER = "modelstack:cluster: {kubeconfig: none}"
PROGRAM = """
import os
import pulumi
from provider.resources import PinnedImage, PinnedImageArgs

if "IMAGE" in os.environ:
    PinnedImage("server", PinnedImageArgs(image=os.environ["IMAGE"]))
"""
URN = "urn:pulumi:prod::shop::modelstack:components:InferenceService$modelstack:index:{}::digits"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose `up` fails where no registry is."""
    made = Project.make(tmp_path / "project", PROGRAM).stack("failing", IMAGE="127.0.0.1:9/team/server:1")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(made.folder)
    (made.folder / "Pulumi.failing.yaml").write_text(f"config: {{{CLUSTER}}}")
    return made


def set_secret(stack: Stack, path: str, value: str) -> None:
    arguments = ["config", "set", "--secret", "--path", f"modelstack:notifications.{path}", value]
    subprocess.run(
        stack.command(*arguments, "--stack", stack.name), cwd=stack.folder, env=stack.environment, check=True
    )


@pytest.mark.build
def test_a_failed_up_is_told_with_its_reason_and_no_secret(
    stack: Stack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_JOB_URL", "https://gitlab.example/jobs/7")
    with hook() as there:
        set_secret(stack, "webhook", there.url)
        assert main(["up", "--stack", "failing", "--yes"]) == 1
        (body,) = there.bodies
        assert (body["kind"], body["stack"], body["run"]) == ("up-failed", "failing", "https://gitlab.example/jobs/7")
        assert "127.0.0.1:9" in body["reason"]
        there.statuses = [403]
        assert main(["up", "--stack", "failing", "--yes"]) == 1
    said = capfd.readouterr()
    assert "notification: not sent: webhook: 127.0.0.1: status 403" in said.err
    assert "T0KEN" not in said.out + said.err


@pytest.mark.build
def test_an_up_that_succeeds_and_a_kind_that_is_not_chosen_are_not_told(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with hook() as there:
        chosen = f"modelstack:notifications: {{webhook: '{there.url}', on: [up-failed]}}"
        (stack.folder / "Pulumi.failing.yaml").write_text(f"config:\n  {CLUSTER}\n  {chosen}\n")
        monkeypatch.delenv("IMAGE")
        assert main(["up", "--stack", "failing", "--yes"]) == 0
        assert main(["notify", "failing", "--kind", "drift"]) == 0
        assert there.bodies == []
        assert main(["notify", "failing", "by hand"]) == 0
    assert [body["reason"] for body in there.bodies] == ["by hand"]
    assert "has its addresses in clear; set them with `pulumi config set --secret" in capfd.readouterr().err


@pytest.mark.build
def test_settings_that_cannot_be_read_are_told_without_their_values(
    stack: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    set_secret(stack, "slack", "hooks.example.com/canary")
    assert main(["notify", "failing"]) == 1
    said = capfd.readouterr()
    assert "modelstack:notifications.slack: is no http or https URL" in said.err
    assert "canary" not in said.out + said.err


def test_a_stack_that_names_nobody_is_an_error_of_notify_alone(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notify", "failing"]) == 1
    assert "stack 'failing' names nobody" in capsys.readouterr().err


def error(kind: str, message: str) -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": "error", "message": message, "urn": URN.format(kind)}}


def test_a_canary_that_was_refused_is_told_as_such_with_its_digest() -> None:
    output = {"type": "modelstack:index:ModelImage", "urn": URN.format("ModelImage"), "op": "update"}
    events = [
        {"resOutputsEvent": {"metadata": {**output, "new": {"outputs": {"digest": "sha256:1f"}}}}},
        error("Promotion", "rollout 'digits': not promoted:\n agreement 0.0"),
        {"diagnosticEvent": {"severity": "error", "message": "update failed", "urn": ""}},
    ]
    told = failures.event_of("up", events)
    assert told.kind == "canary-refused"
    assert told.reason == "rollout 'digits': not promoted: agreement 0.0"
    assert told.images == {"digits": "sha256:1f"}


def test_a_policy_that_refuses_is_told() -> None:
    violated = {"policyEvent": {"enforcementLevel": "mandatory", "message": "images: name a digest"}}
    advised = {"policyEvent": {"enforcementLevel": "advisory", "message": "costs more"}}
    assert failures.event_of("up", [violated, advised]).reason == "images: name a digest"


def test_who_declines_tells_nobody() -> None:
    previewed = {"summaryEvent": {"result": "succeeded"}}
    assert not failures.happened([previewed])
    assert failures.happened([previewed, {"summaryEvent": {"result": "failed"}}])
    assert failures.happened([])


def test_an_engine_that_was_killed_leaves_events_that_can_be_read(tmp_path: Path) -> None:
    log = tmp_path / "events"
    log.write_text(json.dumps(error("SmokeTest", "wrong answers")) + '\n{"diagnosticEvent": {"sev')
    told = failures.event_of("up", list(of_log(log)))
    assert (told.kind, told.reason) == ("up-failed", "wrong answers")
    assert failures.event_of("destroy", list(of_log(tmp_path / "none"))).reason == failures.UNTOLD


@pytest.mark.build
def test_a_review_stack_that_was_reaped_is_told_to_whom_its_source_names(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [
        reap.Outcome("review-7", reap.REAPED, "of someone, expired 2026-01-01T00:00:00Z"),
        reap.Outcome("review-8", reap.KEPT, "until 2026-01-03T00:00:00Z"),
    ]
    monkeypatch.setattr(reap, "reap", lambda *_, **__: iter(outcomes))
    monkeypatch.delenv("IMAGE")
    with hook() as there:
        set_secret(stack, "webhook", there.url)
        assert main(["review", "reap", "--from", "failing"]) == 0
        (body,) = there.bodies
    assert (body["kind"], body["stack"]) == ("reaped", "failing")
    assert body["reason"] == "review-7: of someone, expired 2026-01-01T00:00:00Z"
