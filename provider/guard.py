"""Runs a command and sees to it that nothing of it outlives the guard's parent: `guard.py COMMAND…`.

The parent holds the guard's standard input open. When that closes, by choice or because the parent was killed, the
command is asked to end, then it and every process below it is killed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 4.0
CANCELLED = 130


def main(command: list[str]) -> int:
    """Run `command`; returns its exit code, or 130 where it was ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Orphans below become the guard's own children, so that none is lost from sight.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: _as_child(libc),  # noqa: PLW1509 (the guard has one thread)
    )
    code = _wait(child)
    _kill_rest()
    return code


def _as_child(libc: ctypes.CDLL) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _wait(child: subprocess.Popen[bytes]) -> int:
    ended = os.pidfd_open(child.pid)
    ready, _, _ = select.select([0, ended], [], [])
    if ended in ready:
        return child.wait()
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return CANCELLED


def _kill_rest() -> None:
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return
    time.sleep(0.01)


def _children() -> list[int]:
    own = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
