"""A command of an interpreter that lacks what it needs names the one that has it."""

import subprocess
import sys
from pathlib import Path

import pytest

from model_build.places import ROOT


@pytest.mark.parametrize(("command", "code"), [("local", 3), ("ops preview", 1)])
def test_a_bare_interpreter_names_the_projects_own(command: str, code: int) -> None:
    # -S leaves out what is installed, as an interpreter of the system would.
    package = command.partition(" ")[0]
    bare = [sys.executable, "-S", "-m", *command.split(), "--help"]
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert f"run `.venv/bin/python -m {package}`, after `make venv`" in done.stderr


def test_a_build_by_an_interpreter_without_its_packages_names_the_one_that_has_them(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['model_build.build'] = None; from model_build.__main__ import main; "
    code = hide + f"sys.exit(main(['build', '--recipe', '{tmp_path}/recipe.yaml', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "run `.venv-build/bin/python -m model_build`" in done.stdout
