"""`ops preview --comment` on the embedded platform: a new stack, one that stays, a changed recipe, a failure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.checkout import Checkout, Done

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]


def preview(dev: Checkout, target: Path, *stacks: str) -> tuple[Done, str]:
    """Preview stacks; returns how the command ended, and the comment."""
    named = [word for stack in stacks for word in ("--stack", stack)]
    done = dev.run(".venv/bin/python", "-m", "ops", "preview", *named, "--comment", str(target))
    return done, target.read_text(encoding="utf-8")


def sections(comment: str) -> dict[str, str]:
    """Return what a comment says of each stack."""
    return dict(re.findall(r"^### `(\w+)`: (.*?)(?=^### |\Z)", comment, re.MULTILINE | re.DOTALL))


def test_a_new_stack_and_one_that_stays_are_one_comment(dev: Checkout, tmp_path: Path) -> None:
    done, comment = preview(dev, tmp_path / "comment.md", "dev", "test")
    assert done.code == 0, done.said
    assert "Previewing update" in done.said
    found = sections(comment)
    assert re.fullmatch(r"nothing changes \(\d+ resources\)\n\n", found["dev"])
    digests = {name: one["image"].rpartition("@")[2] for name, one in dev.outputs()["models"].items()}
    for name, digest in digests.items():
        assert f"`{name}` is created: none → `{digest[:19]}`, because `first build`" in found["test"]
    accuracy = r"^\| accuracy \| none \| 9\d\.\d\d% \|  \| ≥ \d\d\.\d\d% \|$"
    assert len(re.findall(accuracy, found["test"], re.MULTILINE)) == 2
    assert len(re.findall(r"^\| image \| none \| \d+\.\d MB, \d+ layers \|", found["test"], re.MULTILINE)) == 2
    assert "| `kubernetes:apps/v1:Deployment` |" in found["test"]


def test_one_changed_parameter_is_told_with_what_runs_and_why(dev: Checkout, tmp_path: Path) -> None:
    with dev.edited("models/digits/recipe.yaml", "calibration_samples: 400", "calibration_samples: 300"):
        done, comment = preview(dev, tmp_path / "comment.md", "dev")
    assert done.code == 0, done.said
    said = sections(comment)["dev"]
    runs = dev.outputs()["models"]["digits"]["image"].rpartition("@")[2][:19]
    assert re.match(r"3 updated, \d+ the same\n", said), said
    assert "**Models** (1 more the same)" in said
    why = "because `recipe: steps.quantize.calibration_samples: 400 → 300`"
    assert f"`digits` is updated: `{runs}` → built by `up`, {why}" in said
    assert re.search(r"^\| p50 of one answer \| \d\.\d{3} ms \| built by `up` \|", said, re.MULTILINE), said
    assert "- **update** `kubernetes:apps/v1:Deployment` `digits`: " in said


def test_a_preview_that_fails_is_told_with_its_reason_and_exit_code(dev: Checkout, tmp_path: Path) -> None:
    with dev.edited("Pulumi.dev.yaml", "replicas: 2", "replicas: 0"):
        done, comment = preview(dev, tmp_path / "comment.md", "dev")
    assert done.code != 0
    said = sections(comment)["dev"]
    assert said.startswith(f"the preview failed with exit code {done.code}\n\n**Errors**\n")
    assert "replicas" in said
