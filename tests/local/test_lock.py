"""Locks between commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.errors import LockedError
from local.lock import locked
from tests.conftest import PROJECT

HOLD = "import sys, time; from pathlib import Path; from local.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(600)"


def test_a_taken_lock_is_refused_with_its_path_where_one_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        locked(path, "the platform"),
        pytest.raises(LockedError, match=f"the platform: another command works on it .lock {path}"),
        locked(path, "the platform", wait=False),
    ):
        pass


def test_a_lock_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with locked(path, "it", wait=False):
        pass


def test_a_lock_whose_folder_was_removed_by_its_holder_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with locked(path, "it"):
        shutil.rmtree(path.parent)
    with locked(path, "it", wait=False):
        assert path.exists()


def test_a_lock_leaves_no_open_file_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a listing, not paths
    with locked(tmp_path / "lock", "it"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
