"""`python -m model_build`: events, exit codes, and what a stop leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from model_build.places import ROOT
from tests.model_build.conftest import replaced
from tests.registry import free_port
from tests.waiting import lives, until

BASE = "@sha256:" + "0" * 64
WAITS = """
import os, pathlib, time
def load(_):
    pathlib.Path({path!r}).write_text(str(os.getpid()))
    time.sleep(600)
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "model_build", *map(str, arguments)]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return dict(os.environ) | {"MODELSTACK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}


def run(variables: dict[str, str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the last event."""
    done = subprocess.run(command(*arguments), env=variables, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}


@pytest.fixture
def plain(recipe: Path) -> Path:
    """The recipe without data packages, so that its loader runs in any environment."""
    replaced(recipe, "sources:\n  - {client: installed, package: scikit-learn}\n", "")
    return recipe


def test_a_wrong_use_ends_with_2(variables: dict[str, str]) -> None:
    assert run(variables, "bake")[0] == 2


def test_a_recipe_with_an_unknown_key_ends_with_3(variables: dict[str, str], recipe: Path) -> None:
    replaced(recipe, "seed: 7", "seed: 7\nsede: 8")
    code, event = run(variables, "build", "--json", "--recipe", recipe)
    assert (code, event["event"], event["kind"]) == (3, "error", "recipe")
    assert "sede" in event["message"]


def test_data_that_is_not_a_number_ends_with_4(variables: dict[str, str], plain: Path) -> None:
    (plain.parent / "data.py").write_text(
        "import numpy as np\nfrom model_build.data import shuffled\n"
        "def load(s):\n    x = np.full((40, 1, 8, 8), np.nan, np.float32)\n"
        "    return shuffled(x, np.arange(40) % 10, seed=s.seed, names=tuple('0123456789'))\n"
    )
    code, event = run(variables, "build", "--json", "--recipe", plain)
    assert (code, event["kind"]) == (4, "data")
    assert "NaN" in event["message"]


def test_a_registry_that_is_down_ends_with_6_before_anything_is_built(variables: dict[str, str], recipe: Path) -> None:
    host = f"127.0.0.1:{free_port()}"
    wanted = ("--push", f"{host}/digits", "--base", f"{host}/base{BASE}")
    code, event = run(variables, "build", "--json", "--recipe", recipe, *wanted)
    assert (code, event["kind"]) == (6, "registry")
    assert f"registry {host}" in event["message"]
    assert not list(Path(variables["MODELSTACK_CACHE"]).rglob("step.json"))


def test_a_cache_that_cannot_be_written_ends_with_7(variables: dict[str, str], recipe: Path) -> None:
    nowhere = variables | {"MODELSTACK_CACHE": "/dev/null/cache"}
    code, event = run(nowhere, "build", "--json", "--recipe", recipe)
    assert (code, event["kind"]) == (7, "environment")
    assert "MODELSTACK_CACHE: /dev/null/cache" in event["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_build_ends_with_130_and_its_worker_is_gone(
    variables: dict[str, str], plain: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process, worker = started(variables, plain, tmp_path / "pid")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    event = json.loads(output.splitlines()[-1])
    assert (process.returncode, event["kind"]) == (130, "cancelled")
    until(lambda: not lives(worker), "the worker has ended")
    assert list(Path(variables["MODELSTACK_CACHE"], "tmp").iterdir()) == []


def test_a_killed_build_takes_its_worker_along(variables: dict[str, str], plain: Path, tmp_path: Path) -> None:
    process, worker = started(variables, plain, tmp_path / "pid")
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not lives(worker), "the worker has ended")


def started(variables: dict[str, str], recipe: Path, told: Path) -> tuple["subprocess.Popen[str]", int]:
    """Return a build whose loader waits, and its worker's process id."""
    (recipe.parent / "data.py").write_text(WAITS.format(path=str(told)))
    arguments = command("build", "--json", "--recipe", recipe)
    process = subprocess.Popen(arguments, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for _ in range(600):
        if told.exists() and told.read_text():
            return process, int(told.read_text())
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the loader did not start")
