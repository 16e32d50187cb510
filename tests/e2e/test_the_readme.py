"""Every command that the README gives for the embedded platform, as it stands there, each block in a clean clone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Platform
from tests.e2e.checkout import ROOT, Checkout, clone

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1800)]

MARK = "<!-- each command of this block is run by tests/e2e -->"
# What a person answers at the engine's prompt.
ANSWERS = {"PULUMI_OPTION_YES": "true", "PULUMI_OPTION_NON_INTERACTIVE": "true"}


def blocks() -> list[list[str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(rf"{re.escape(MARK)}\n```console\n(.*?)```", text, re.DOTALL)
    return [[line.partition(" # ")[0].strip() for line in block.splitlines()] for block in found]


def test_the_readme_marks_two_blocks() -> None:
    assert [block[0] for block in blocks()] == ["make up", "python3.11 -m venv .venv-own && . .venv-own/bin/activate"]


def test_the_make_commands_run_in_order(checkout: Checkout) -> None:
    for command in blocks()[0]:
        done = checkout.run("bash", "-euo", "pipefail", "-c", command)
        assert done.code == 0, f"{command}:\n{done.said}"


def test_a_bare_pulumi_up_works_in_a_clean_clone(platform: Platform, checkout: Checkout, tmp_path: Path) -> None:
    folder = tmp_path / "modelstack"
    clone(folder)
    environment = {**checkout.environment, **ANSWERS}
    bare = Checkout(folder, {**environment, "PATH": f"{folder}/.venv-own/bin:{environment['PATH']}"})
    done = bare.run("bash", "-euo", "pipefail", "-c", "\n".join(blocks()[1]))
    assert done.code == 0, done.said
    assert set(bare.outputs()["endpoint"]) == {"digits", "mnist"}
    destroyed = bare.run("pulumi", "destroy", "-s", "dev")
    assert destroyed.code == 0, destroyed.said
