"""A stack's lock files: a holder counts as alive unless it is known to be dead."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.holders import holders, process_start


def lock(root: Path, pid: int, host: str = "", since: datetime | None = None, stack: str = "dev") -> str:
    folder = root / ".pulumi/locks/organization/tiny" / stack
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": pid,
        "username": "someone",
        "hostname": host or socket.gethostname(),
        "timestamp": (since or datetime.now(UTC)).isoformat(),
    }
    (folder / f"{pid}.json").write_text(json.dumps(content))
    return f"file://{root}"


def test_a_process_that_runs_may_live(tmp_path: Path) -> None:
    (found,) = holders(lock(tmp_path, os.getpid()), "tiny", "dev")
    assert found.may_live()
    assert f"process {os.getpid()} of someone@" in str(found)


def test_a_process_that_has_ended_does_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    (found,) = holders(lock(tmp_path, process.pid), "tiny", "dev")
    assert not found.may_live()


def test_a_process_that_was_not_waited_for_does_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        (found,) = holders(lock(tmp_path, process.pid), "tiny", "dev")
        assert not found.may_live()


def test_a_number_that_another_process_was_given_later_is_not_the_holder(tmp_path: Path) -> None:
    earlier = datetime.fromtimestamp(process_start(os.getpid()) or 0, UTC) - timedelta(hours=1)
    (found,) = holders(lock(tmp_path, os.getpid(), since=earlier), "tiny", "dev")
    assert not found.may_live()


def test_a_holder_on_another_host_counts_as_alive(tmp_path: Path) -> None:
    (found,) = holders(lock(tmp_path, 1, host="elsewhere.example"), "tiny", "dev")
    assert found.may_live()


def test_a_lock_cut_off_within_its_write_names_nobody(tmp_path: Path) -> None:
    backend = lock(tmp_path, 7)
    (tmp_path / ".pulumi/locks/organization/tiny/dev/7.json").write_text('{"pid": 7')
    (found,) = holders(backend, "tiny", "dev")
    assert not found.may_live()


@pytest.mark.parametrize(("project", "stack"), [("tiny", "test"), ("other", "dev")])
def test_locks_of_other_stacks_do_not_count(tmp_path: Path, project: str, stack: str) -> None:
    assert holders(lock(tmp_path, os.getpid()), project, stack) == []


def test_a_backend_that_is_no_folder_is_left_to_the_engine() -> None:
    assert holders("https://api.pulumi.example", "tiny", "dev") == []
