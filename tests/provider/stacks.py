"""A small Pulumi project in a folder of its own, driven by the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.provider.programs import engine_folder, pulumi_home

ROOT = Path(__file__).resolve().parents[2]
PROJECT = f"""
name: tiny
runtime: {{name: python, options: {{virtualenv: {ROOT}/.venv}}}}
plugins: {{providers: [{{name: modelstack, path: {ROOT}/provider}}]}}
"""
OWN = ("PULUMI_", "MODELSTACK_INSTANCE", "MODELSTACK_DATA", "KUBECONFIG")


@dataclass(frozen=True)
class Done:
    """What a command of the engine ended with; `events` are those of its event log."""

    code: int
    said: str
    events: tuple[dict[str, Any], ...]

    def messages(self, *, ephemeral: bool = False) -> list[str]:
        """Return what resources said, without the engine's own colours."""
        told = (event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event)
        return [plain(one["message"]) for one in told if bool(one.get("ephemeral")) == ephemeral]

    def errors(self) -> list[str]:
        """Return the errors that resources ended with."""
        told = (event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event)
        return [plain(one["message"]) for one in told if one["severity"] == "error"]

    def planned(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Return the operation on the one resource of a type, and its outputs as far as the plan knows them."""
        ended = ("resOutputsEvent", "resourcePreEvent")
        found = [event[name]["metadata"] for event in self.events for name in ended if name in event]
        one = next(step for step in reversed(found) if step["type"] == kind)
        return one["op"], (one.get("new") or {}).get("outputs") or {}


def plain(text: str) -> str:
    """Return an engine's message without colour marks."""
    for mark in ("<{%reset%}>", "<{%fg 1%}>", "<{%bold%}>"):
        text = text.replace(mark, "")
    return text.strip()


@dataclass(frozen=True)
class Project:
    """A project in `folder`; its stacks' state lies beside it."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, folder: Path, program: str) -> Project:
        """Write the project."""
        (folder / "state").mkdir(parents=True)
        (folder / "Pulumi.yaml").write_text(PROJECT)
        (folder / "__main__.py").write_text(program)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OWN)}
        own = {
            "PATH": f"{engine_folder()}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(pulumi_home()),
            "PULUMI_BACKEND_URL": f"file://{folder}/state",
            "PULUMI_CONFIG_PASSPHRASE": "a phrase for tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # gives commands --event-log
            "PYTHONPATH": str(ROOT),
        }
        return cls(folder, kept | own)

    def stack(self, name: str, **environment: str) -> Stack:
        """Return a new stack whose program sees `environment`."""
        made = Stack(self.folder, name, self.environment | environment)
        subprocess.run(made.command("stack", "init", name), cwd=self.folder, env=made.environment, check=True)
        return made


@dataclass(frozen=True)
class Stack:
    """One stack of a project."""

    folder: Path
    name: str
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of the engine."""
        return ["pulumi", *arguments, "--non-interactive", "--color", "never"]

    def having(self, **environment: str) -> Stack:
        """Return the same stack with a program that sees something else."""
        return Stack(self.folder, self.name, self.environment | environment)

    def run(self, *arguments: str) -> Done:
        """Run a command of the engine on this stack to its end."""
        return self.start(*arguments).finish()

    def start(self, *arguments: str) -> Running:
        """Start a command of the engine on this stack, in a process group of its own."""
        log = self.folder / f"{self.name}-{time.monotonic_ns()}.log"
        asking = ["--yes", "--skip-preview"] if arguments[0] in ("up", "destroy", "refresh") else []
        further = ["--stack", self.name, "--event-log", str(log)]
        process = subprocess.Popen(
            self.command(*arguments, *asking, *further),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        return Running(process, log)

    def recover(self) -> subprocess.CompletedProcess[str]:
        """Run `ops recover` as a user does."""
        return self.ops("recover", "--stack", self.name, "--yes", "--json")

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `ops` in the project as a user does."""
        return subprocess.run(
            [sys.executable, "-m", "ops", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs."""
        done = self._query("stack", "output", "--json", "--stack", self.name)
        return dict(json.loads(done))

    def deployment(self) -> dict[str, Any]:
        """Return what the state records, without the times it does so."""
        return dict(json.loads(self._query("stack", "export", "--stack", self.name))["deployment"])

    def recorded(self) -> list[tuple[str, dict[str, Any]]]:
        """Return each recorded resource's URN and outputs."""
        return [(one["urn"], one.get("outputs", {})) for one in self.deployment().get("resources", [])]

    def _query(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass(frozen=True)
class Running:
    """A command of the engine that runs."""

    process: subprocess.Popen[str]
    log: Path

    def finish(self) -> Done:
        """Wait for the end."""
        said, _ = self.process.communicate(timeout=300)
        return Done(self.process.returncode, said, tuple(self.events()))

    def wait_for(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first event for which `holds`; fails where the command ends without one."""
        while True:
            ended = self.process.poll() is not None
            found = next((event for event in self.events() if holds(event)), None)
            if found is not None:
                return found
            assert not ended, self.finish().said
            time.sleep(0.05)

    def wait_for_message(self, *words: str) -> None:
        """Wait until a resource said something that holds each word."""
        self.wait_for(lambda event: all(word in event.get("diagnosticEvent", {}).get("message", "") for word in words))

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill the engine and its children at once, and wait until what they had started has gone too."""
        engine = self.process.pid
        children = Path(f"/proc/{engine}/task").glob("*/children")
        for pid in [engine, *(int(word) for one in children for word in one.read_text().split())]:
            os.kill(pid, signal.SIGKILL)
        self.process.communicate(timeout=60)
        until = time.monotonic() + 60
        while left := processes_of(self.log.parent):
            assert time.monotonic() < until, left
            time.sleep(0.1)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events so far."""
        text = self.log.read_text() if self.log.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        yield from (json.loads(line) for line in whole.splitlines())


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that work for a project: one names its folder, or works in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if command and (str(folder) in command or place.startswith(str(folder))):
            found.append(f"{process.name} {command}")
    return found
