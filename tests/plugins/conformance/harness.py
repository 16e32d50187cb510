"""Runs small programs through the real engine against a real API server, with whichever provider PULUMI_HOME holds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.plugins.kubernetes import config
from local.plugins.kubernetes.client import ApiError, Client

COLOUR = re.compile(r"<\{%[^%]*%\}>")
RUN_SECONDS = 300
QUIET = {"same", "refresh", "read"}
HEADER = "import pulumi\nimport pulumi_kubernetes as k\n"


@dataclass(frozen=True)
class Result:
    """What one run of the engine did."""

    code: int
    steps: list[str]  # "create ConfigMap name", in the order the engine started them
    text: str  # every diagnostic
    output: str

    @property
    def ok(self) -> bool:
        return self.code == 0


@dataclass
class Cluster:
    """The API server, seen without Pulumi."""

    kubeconfig: Path
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(config.target(*config.parse(str(self.kubeconfig)), {}))

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            return self.client.get(api_version, kind, namespace, name)
        except ApiError as error:
            if error.gone:
                return None
            raise

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        resource = self.client.resource(document["apiVersion"], document["kind"])
        return self.client.request("POST", resource.path(document["metadata"].get("namespace", "")), document)

    def merge(self, api_version: str, kind: str, place: str, patch: dict[str, Any], suffix: str = "") -> None:
        namespace, name = place.split("/")
        path = self.client.resource(api_version, kind).path(namespace, name)
        self.client.request("PATCH", path + suffix, patch, content_type="application/merge-patch+json")

    def delete(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        self.client.request("DELETE", self.client.resource(api_version, kind).path(namespace, name))


@dataclass
class Project:
    """One program and its stack, in folders of its own."""

    folder: Path
    engine: Path
    home: Path
    kubeconfig: Path
    namespace: str
    inherited: dict[str, str]

    def init(self) -> None:
        """Make the project and its stack; a copy of the folder is a project too."""
        (self.folder / "state").mkdir(parents=True)
        document = {
            "name": "conformance",
            "runtime": {"name": "python", "options": {"virtualenv": str(Path(sys.prefix))}},
        }
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(document))
        (self.folder / "__main__.py").write_text(HEADER)
        done = self.ask("stack", "init", "dev")
        assert done.returncode == 0, done.stderr

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in self.inherited.items() if not key.startswith("PULUMI_")}
        return kept | {
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "conformance",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # the engine hides --event-log otherwise
            "KUBECONFIG": str(self.kubeconfig),
            "NAMESPACE": self.namespace,
        }

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine that changes no resource."""
        command = [str(self.engine), *arguments, "--non-interactive", "--cwd", str(self.folder)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=RUN_SECONDS
        )

    def write(self, program: str) -> None:
        text = textwrap.dedent(program).replace("NAMESPACE", repr(self.namespace))
        (self.folder / "__main__.py").write_text(HEADER + text)

    def run(self, *arguments: str) -> Result:
        events = self.folder / "events.jsonl"
        events.unlink(missing_ok=True)
        done = self.ask(*arguments, "--stack", "dev", "--event-log", str(events))
        read = [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []
        text = "".join(
            COLOUR.sub("", event["diagnosticEvent"]["message"]) for event in read if "diagnosticEvent" in event
        )
        return Result(done.returncode, _steps(read), text, done.stdout + done.stderr)

    def up(self, program: str | None = None) -> Result:
        if program is not None:
            self.write(program)
        return self.run("up", "--yes", "--skip-preview")

    def interrupted(self, when: Callable[[], bool], number: int = signal.SIGINT) -> tuple[int, str]:
        """Run `up` and interrupt it, as Ctrl-C does, or kill it, as soon as something is so."""
        command = [str(self.engine), "up", "--yes", "--skip-preview", "--stack", "dev", "--cwd", str(self.folder)]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        ) as running:
            try:
                while not when() and running.poll() is None:
                    time.sleep(0.1)
                if running.poll() is None:
                    os.killpg(running.pid, number)
                text, _ = running.communicate(timeout=RUN_SECONDS)
            finally:
                if running.poll() is None:
                    os.killpg(running.pid, signal.SIGKILL)
        return running.returncode, text

    def processes(self) -> list[str]:
        """Return the command lines of processes that still run for this project."""
        marker = f"PULUMI_BACKEND_URL=file://{self.folder / 'state'}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marker in (path / "environ").read_bytes().split(b"\0"):
                    found.append((path / "cmdline").read_text().replace("\0", " "))
        return found

    def live_names(self, kind: str) -> list[str]:
        """Return the names of the Deployments (or another kind of apps/v1) in the project's namespace."""
        listed = Cluster(self.kubeconfig).client.list("apps/v1", kind, self.namespace)
        return [entry["metadata"]["name"] for entry in listed]

    def preview(self, program: str | None = None) -> Result:
        if program is not None:
            self.write(program)
        return self.run("preview")

    def refresh(self) -> Result:
        return self.run("refresh", "--yes", "--skip-preview")

    def destroy(self) -> Result:
        return self.run("destroy", "--yes", "--skip-preview")

    def state(self) -> list[dict[str, Any]]:
        """Return the state's objects, without stack and providers, as they lie on the disk."""
        written = (self.folder / "state" / ".pulumi" / "stacks" / "conformance" / "dev.json").read_text()
        resources = (json.loads(written)["checkpoint"]["latest"] or {}).get("resources") or []
        return [entry for entry in resources if entry["type"].startswith("kubernetes:")]

    def clean(self) -> None:
        """Destroy what ending the namespace would leave behind."""
        if any(not entry["id"].startswith(f"{self.namespace}/") for entry in self.state()):
            self.destroy()

    def outputs(self) -> dict[str, Any]:
        done = self.ask("stack", "output", "--json", "--show-secrets", "--stack", "dev")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _steps(events: list[dict[str, Any]]) -> list[str]:
    found = []
    for event in events:
        data = (event.get("resourcePreEvent") or {}).get("metadata")
        if data and data["type"].startswith("kubernetes:") and data["op"] not in QUIET:
            found.append(f"{data['op']} {data['type'].split(':')[-1]} {data['urn'].split('::')[-1]}")
    return found
