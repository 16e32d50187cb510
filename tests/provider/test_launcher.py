"""The launcher finds an interpreter in the checkout, the active environment or PATH, and says plainly where none is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import lives, until

LAUNCHER = Path(__file__).resolve().parents[2] / "provider" / "pulumi-resource-modelstack"
TELLS = '#!/bin/sh\ncase "$1" in -c) exit {code};; *) echo {name} "$@";; esac\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout that holds the launcher alone."""
    (tmp_path / "checkout/provider").mkdir(parents=True)
    shutil.copy(LAUNCHER, tmp_path / "checkout/provider")
    return tmp_path / "checkout"


def interpreter(path: Path, name: str, *, usable: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TELLS.format(code=0 if usable else 1, name=name))
    path.chmod(0o755)
    return path


def launch(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / "provider/pulumi-resource-modelstack"), "127.0.0.1:1"]
    system = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env={**system, **environment}, capture_output=True, text=True, check=False)


def test_the_checkouts_own_environment_comes_first(checkout: Path, tmp_path: Path) -> None:
    interpreter(checkout / ".venv/bin/python", "own")
    interpreter(tmp_path / "active/bin/python", "active")
    done = launch(checkout, VIRTUAL_ENV=str(tmp_path / "active"))
    assert done.stdout == "own -P -m provider 127.0.0.1:1\n"


def test_the_active_environment_comes_next(checkout: Path, tmp_path: Path) -> None:
    interpreter(checkout / ".venv/bin/python", "own", usable=False)
    interpreter(tmp_path / "active/bin/python", "active")
    assert launch(checkout, VIRTUAL_ENV=str(tmp_path / "active")).stdout.startswith("active ")


def test_python_on_path_comes_last(checkout: Path, tmp_path: Path) -> None:
    interpreter(tmp_path / "bin/python3", "system")
    assert launch(checkout, PATH=f"{tmp_path}/bin:/usr/bin:/bin").stdout.startswith("system ")


def test_no_usable_interpreter_is_one_line_with_the_remedy(checkout: Path, tmp_path: Path) -> None:
    interpreter(tmp_path / "bin/python3", "system", usable=False)
    done = launch(checkout, PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install -r requirements.txt" in done.stderr


def test_the_provider_ends_when_the_engine_that_started_it_is_killed() -> None:
    """The engine here is a shell that starts the provider and is then killed."""
    script = f"{LAUNCHER} 127.0.0.1:1 & echo $!; wait"
    own = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True, env=own) as engine:
        assert engine.stdout is not None
        pid, port = int(engine.stdout.readline()), int(engine.stdout.readline())
        assert port > 0
        engine.kill()
        # The pipe closes when the provider, which writes to it too, has gone.
        assert engine.stdout.read() == ""
    # A process closes its files a moment before the last of it is gone.
    until(lambda: not lives(pid), "the provider has ended")
