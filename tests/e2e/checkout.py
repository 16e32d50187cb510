"""A clean clone of this checkout in a folder of its own, and the commands a user gives in it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """What a command ended with: its exit code, and everything it printed."""

    code: int
    said: str


@dataclass(frozen=True)
class Checkout:
    """A clone in `folder`, with the environment its commands run in."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *command: str, seconds: int = 900) -> Done:
        """Run one command in the clone and keep what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
        return Done(done.returncode, done.stdout)

    def make(self, target: str, stack: str = "dev", **variables: str) -> Done:
        """Run a target of the Makefile."""
        return self.run("make", target, f"STACK={stack}", *(f"{key}={value}" for key, value in variables.items()))

    def must(self, target: str, stack: str = "dev", **variables: str) -> str:
        """Run a target that has to succeed; returns what it printed."""
        done = self.make(target, stack, **variables)
        assert done.code == 0, f"make {target} STACK={stack} ended with exit code {done.code}:\n{done.said}"
        return done.said

    def outputs(self, stack: str = "dev") -> dict[str, Any]:
        """Return a stack's outputs."""
        return self._json("pulumi", "stack", "output", "--json", "--stack", stack)

    def preview(self, stack: str = "dev") -> dict[str, Any]:
        """Return the plan of `pulumi preview --json`."""
        return self._json("pulumi", "preview", "--json", "--stack", stack, "--non-interactive")

    def planned(self, stack: str = "dev") -> dict[str, str]:
        """Return what the plan does, without what stays: resource (type::name) → operation."""
        steps = self.preview(stack)["steps"]
        found = {"::".join(step["urn"].split("::")[2:]).rpartition("$")[2]: step["op"] for step in steps}
        return {name: operation for name, operation in found.items() if operation != "same"}

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """Replace text of one file for the length of a block."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")

    def _json(self, *command: str) -> dict[str, Any]:
        done = subprocess.run(
            command, cwd=self.folder, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def clone(target: Path) -> None:
    """Copy what git would carry: tracked files, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
