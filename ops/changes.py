"""The changes of a branch, from git: when work on each began, when it came in, and which commits hold it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FIELDS = "%H%x1f%P%x1f%at%x1f%ct"


class GitError(Exception):
    """The repository cannot be asked; the message is one line and says what to do."""


@dataclass(frozen=True)
class Change:
    """What one commit of the branch's own line brought in: a merge's commits, or its own."""

    commit: str
    begun: datetime
    merged: datetime


@dataclass(frozen=True)
class Repository:
    """The git repository around `folder`."""

    folder: Path

    def changes(self, branch: str, since: datetime | None, until: datetime | None) -> list[Change]:
        """Return what came into `branch` from `since` until before `until`, oldest first; raises GitError."""
        if self._run("rev-parse", "--is-shallow-repository").strip() == "true":
            raise GitError("git: this clone is shallow and lacks the commits before; run `git fetch --unshallow`")
        found = []
        for line in self._run("log", "--first-parent", f"--format={FIELDS}", branch, "--").splitlines():
            commit, parents, authored, committed = line.split("\x1f")
            merged = _time(committed)
            if (since is None or merged >= since) and (until is None or merged < until):
                found.append(Change(commit, self._begun(parents.split(), authored), merged))
        return found[::-1]

    def _begun(self, parents: Sequence[str], authored: str) -> datetime:
        """Return when the first of a change's commits was written; a merge itself says nothing of it."""
        if len(parents) < 2:
            return _time(authored)
        times = self._run("log", "--format=%at", *parents[1:], f"^{parents[0]}", "--").split()
        return _time(min(times, key=int)) if times else _time(authored)

    def known(self, commits: Iterable[str]) -> set[str]:
        """Return those that are in this clone; raises GitError."""
        asked = list(dict.fromkeys(commits))
        told = self._run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join(asked) + "\n")
        return {line.split()[0] for line in told.splitlines() if line.endswith(" commit")}

    def first_holding(self, commits: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield each commit that is in the history of `commits`, with the index of the first that holds it."""
        for index, commit in enumerate(commits):
            if commit in commits[:index]:
                continue
            before = [f"^{one}" for one in dict.fromkeys(commits[:index])]
            # By standard input: of a year's updates there are more than a command line holds.
            held = self._run("rev-list", "--stdin", stdin="\n".join([commit, *before]) + "\n")
            yield from ((one, index) for one in held.split())

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.folder, input=stdin, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise GitError("git: is not on PATH; install it") from error
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise GitError(f"`git {arguments[0]}` failed ({said}); run this in a clone, and name a branch that it has")
        return done.stdout


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
