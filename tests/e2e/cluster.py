"""Reads the API server of the tests' platform with kubectl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cluster:
    """A cluster by its kubeconfig."""

    program: tuple[str, ...]
    kubeconfig: str

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what `kubectl get … -o json` printed."""
        command = [*self.program, "get", *arguments, "--output", "json", "--kubeconfig", self.kubeconfig]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def run(self, *arguments: str) -> str:
        """Return what a command of kubectl printed."""
        command = [*self.program, *arguments, "--kubeconfig", self.kubeconfig]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def must(self, *arguments: str) -> None:
        """Run a command of kubectl that has to succeed."""
        command = [*self.program, *arguments, "--kubeconfig", self.kubeconfig]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command of kubectl that takes a while; it is ended with the block where it still runs."""
        command = [*self.program, *arguments, "--kubeconfig", self.kubeconfig]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def refusal(self, *arguments: str) -> str:
        """Return what kubectl says of a command that the API server refuses."""
        command = [*self.program, *arguments, "--kubeconfig", self.kubeconfig]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0, f"{' '.join(arguments)} was not refused:\n{done.stdout}"
        return done.stderr

    def items(self, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return every object of a kind."""
        where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
        found: list[dict[str, Any]] = self.get(kind, *where)["items"]
        return found
