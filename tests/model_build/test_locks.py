"""Locks between callers, threads and the programs they leave behind."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from model_build.environment import BUILD, UV_REQUIREMENTS, build_interpreter
from model_build.locks import exclusive
from model_build.places import ROOT


def test_two_callers_make_the_build_environment_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSTACK_CACHE", str(tmp_path / "cache"))
    (tmp_path / BUILD.requirements).write_text("# nothing, so that no index is asked\n")
    shutil.copy(ROOT / UV_REQUIREMENTS, tmp_path)
    told: list[str] = []
    threads = [threading.Thread(target=build_interpreter, args=(told.append, tmp_path)) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert told.count("the build environment is ready") == 1


def test_a_program_that_outlives_its_caller_keeps_the_lock(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock") as held:
        child = subprocess.Popen(["sleep", "600"], pass_fds=(held,))
    waited: list[bool] = []

    def waiting() -> None:
        waited.append(True)
        child.kill()
        child.wait()

    with exclusive(tmp_path / "lock", waiting):
        assert waited == [True]
