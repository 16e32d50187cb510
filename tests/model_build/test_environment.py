"""The build environment, made for real in a small checkout whose requirements are one small package."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model_build import environment
from model_build.environment import build_interpreter
from model_build.errors import EnvironmentFault
from model_build.places import ROOT

pytestmark = pytest.mark.build


def pinned(package: str) -> str:
    """Return the lines that pin `package` with its hashes."""
    text = (ROOT / "requirements-image.txt").read_text()
    found = re.search(rf"^{package}==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, package
    return "".join(line for line in found.group(0).splitlines(keepends=True) if not line.strip().startswith("#"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELSTACK_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "requirements-build.txt").write_text(pinned("idna"))
    shutil.copy(ROOT / "requirements-uv.txt", root)
    return root


def has(python: Path, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def test_the_environment_is_made_on_first_use_and_told_about(checkout: Path) -> None:
    told: list[str] = []
    python = build_interpreter(told.append, checkout)
    assert python == checkout / ".venv-build" / "bin" / "python"
    assert has(python, "idna")
    assert "the build environment is ready" in told


def test_an_environment_that_is_ready_is_used_as_it_is(checkout: Path) -> None:
    python = build_interpreter(lambda _: None, checkout)
    (python.parent.parent / "kept").touch()
    told: list[str] = []
    assert build_interpreter(told.append, checkout) == python
    assert told == []
    assert (python.parent.parent / "kept").exists()


def test_an_environment_whose_requirements_changed_is_made_again(checkout: Path) -> None:
    build_interpreter(lambda _: None, checkout)
    (checkout / "requirements-build.txt").write_text(pinned("h11"))
    python = build_interpreter(lambda _: None, checkout)
    assert (has(python, "h11"), has(python, "idna")) == (True, False)


def test_an_environment_left_half_made_is_made_again(checkout: Path) -> None:
    (checkout / ".venv-build" / "bin").mkdir(parents=True)
    (checkout / ".venv-build" / "bin" / "python").symlink_to(sys.executable)
    assert has(build_interpreter(lambda _: None, checkout), "idna")


def test_a_package_with_another_hash_is_refused_and_the_environment_stays_unready(checkout: Path) -> None:
    requirements = checkout / "requirements-build.txt"
    good = requirements.read_text()
    requirements.write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, good))
    with pytest.raises(EnvironmentFault, match=r"installing the build environment failed .*then run again"):
        build_interpreter(lambda _: None, checkout)
    requirements.write_text(good)
    assert has(build_interpreter(lambda _: None, checkout), "idna")


def test_requirements_that_are_missing_are_named(checkout: Path) -> None:
    (checkout / "requirements-build.txt").unlink()
    with pytest.raises(EnvironmentFault, match=r"requirements-build\.txt: cannot be read"):
        build_interpreter(lambda _: None, checkout)


def test_too_little_disk_is_told_with_the_limit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "BUILD", replace(environment.BUILD, needed=10**18))
    with pytest.raises(EnvironmentFault, match=r"GB are free, the limit is 1000000000 GB; free some space"):
        build_interpreter(lambda _: None, checkout)
    assert not (checkout / ".venv-build").exists()


def test_what_progress_raises_stops_the_work_and_the_next_run_succeeds(checkout: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_interpreter(stop, checkout)
    assert has(build_interpreter(lambda _: None, checkout), "idna")


def test_the_command_prints_the_interpreter_alone() -> None:
    command = [sys.executable, "-m", "model_build.environment"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{ROOT / '.venv-build' / 'bin' / 'python'}\n"
