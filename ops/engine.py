"""Runs the Pulumi engine on one stack, in the environment that `python -m local env` gives."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.review.names import SOURCE, number_of

State = dict[str, Any]
LAST_LINES = 12
CLUSTER = "modelstack:cluster"
AWS = "modelstack:aws"


class EngineError(Exception):
    """The engine could not be run or refused; the message says what it said."""


@dataclass(frozen=True)
class Engine:
    """One stack of the project in `project`."""

    project: Path
    stack: str
    environment: Mapping[str, str]

    @property
    def project_name(self) -> str:
        """The project's name in Pulumi.yaml; raises EngineError where there is none."""
        path = self.project / "Pulumi.yaml"
        try:
            return str(yaml.safe_load(path.read_text(encoding="utf-8"))["name"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise EngineError(f"{path}: no project can be read there; run this in the project's folder") from error

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what `pulumi` printed; raises EngineError with its last lines where it failed."""
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        own = dict(self.environment)
        try:
            done = subprocess.run(
                command, cwd=self.project, env=own, input=stdin, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise EngineError("pulumi: is not on PATH; install it, or build it with `python -m local up`") from error
        if done.returncode:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-LAST_LINES:])
            raise EngineError(f"`pulumi {' '.join(arguments)}` failed with exit code {done.returncode}:\n{said}")
        return done.stdout

    def on_stack(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command on this stack."""
        return self.run(*arguments, "--stack", self.stack, stdin=stdin)

    def export(self, *, secrets: bool = False) -> State:
        """Return the stack's state."""
        return dict(json.loads(self.on_stack("stack", "export", *(["--show-secrets"] if secrets else []))))

    def plan(self) -> dict[str, Any]:
        """Return what `pulumi preview --json` says that `up` would do."""
        return dict(json.loads(self.on_stack("preview", "--json", "--show-sames")))

    def replace_state(self, state: State) -> None:
        """Put `state` in place of the stack's; the engine drops pending operations from it."""
        self.on_stack("stack", "import", stdin=json.dumps(state))

    def backend(self) -> str:
        """Return the URL the stack's state lies at."""
        url: str | None = json.loads(self.run("whoami", "--json")).get("url")
        if not url:
            raise EngineError("backend: `pulumi whoami` names none; set PULUMI_BACKEND_URL or run `pulumi login`")
        return url


def call(command: Sequence[str], engine: Engine, further: Mapping[str, str], **streams: Any) -> int:
    """Return the exit code of a command on a stack, whose output is shown.

    Ctrl-C, which the command is sent too, is waited out: an engine that is killed leaves its lock.
    """
    own = {**engine.environment, **further}
    with subprocess.Popen(command, cwd=engine.project, env=own, **streams) as process:
        interrupted = False
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return code


def resources(state: State) -> list[dict[str, Any]]:
    """Return the resources of a state, to be edited in place."""
    found: list[dict[str, Any]] = state["deployment"].setdefault("resources", [])
    return found


def pending(state: State) -> list[dict[str, Any]]:
    """Return the operations a state records as begun and not ended."""
    return list(state["deployment"].get("pending_operations") or [])


def is_embedded(project: Path, stack: str) -> bool:
    """Tell whether a stack runs on the embedded platform: its settings name neither a kubeconfig nor AWS.

    Raises EngineError.
    """
    own = document(project / f"Pulumi.{_with_settings(project, stack)}.yaml")
    # What lies in an environment of the Pulumi service cannot be seen from here.
    if own.get("environment"):
        return False
    known = document(project / "Pulumi.yaml").get("config") or {}
    # The project declares keys of its own namespace without it; a `value` for every stack may bear it.
    declared = known.get(CLUSTER, known.get(CLUSTER.partition(":")[2]))
    default = (declared.get("default") or declared.get("value")) if isinstance(declared, dict) else None
    config = own.get("config") or {}
    if _mapping(config.get(AWS)):
        return False
    cluster = _mapping(config.get(CLUSTER, default))
    return not (isinstance(cluster, dict) and cluster.get("kubeconfig"))


def _with_settings(project: Path, stack: str) -> str:
    # A review stack has no file of its own: it runs where the stack does whose settings it has.
    has_none = number_of(stack.rpartition("/")[2]) and not (project / f"Pulumi.{stack}.yaml").is_file()
    return SOURCE if has_none else stack


def _mapping(value: Any) -> Any:
    """Return what a setting says where it was written as text, as `pulumi config set KEY JSON` does."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def if_down(project: Path, stack: str) -> str:
    """Return what to add to an error of a place that gave no answer; nothing where it is a cluster of one's own."""
    return "; where the platform is down, run `python -m local up`" if is_embedded(project, stack) else ""


def own_settings(project: Path, stack: str) -> dict[str, str]:
    """Return the configuration in Pulumi.<stack>.yaml as the engine hands it to the program, without secrets.

    Raises EngineError.
    """
    config = document(project / f"Pulumi.{stack}.yaml").get("config") or {}
    shown = {key: found for key, one in config.items() if (found := _shown(one)) is not None}
    return {key: one if isinstance(one, str) else json.dumps(one) for key, one in shown.items()}


def _shown(value: Any) -> Any:
    """Return a value without what is encrypted in it, nor what then holds nothing; None where nothing is left."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"secure"}:
        return None
    kept = {key: found for key, one in value.items() if (found := _shown(one)) is not None}
    return kept if kept or not value else None


def document(path: Path) -> dict[str, Any]:
    """Return a YAML file's mapping; an empty one where there is no file. Raises EngineError."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise EngineError(f"{path.name}: cannot be read ({said}); correct it, or name another stack") from error
    return found if isinstance(found, dict) else {}


def environment(project: Path, stack: str) -> dict[str, str]:
    """Return the environment to run the engine in: the caller's own, on the embedded platform completed by it.

    Raises EngineError where the platform's part is needed and cannot be had.
    """
    # Pulumi.yaml names no environment, so that an active one works too: the program runs with the interpreter of `ops`.
    own = {"PULUMI_PYTHON_CMD": sys.executable, **os.environ}
    if not is_embedded(project, stack):
        return own
    try:
        return local_environment(project, own)
    except EngineError:
        if "PULUMI_BACKEND_URL" in own and shutil.which("pulumi"):
            return own
        raise


def local_environment(project: Path, own: Mapping[str, str]) -> dict[str, str]:
    """Return an environment completed by the embedded platform, whose engine is built where none is there.

    Raises EngineError.
    """
    answered = subprocess.run(
        [sys.executable, "-m", "local", "env"], cwd=project, env=dict(own), capture_output=True, text=True, check=False
    )
    if answered.returncode:
        said = (answered.stderr.strip().splitlines() or ["nothing was printed"])[-1]
        raise EngineError(f"`python -m local env` failed ({said}); run `python -m local up`")
    return {**own, **dict(_exports(answered.stdout, own))}


def _exports(text: str, own: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if len(words) == 2 and words[0] == "export" and "=" in words[1]:
            name, _, value = words[1].partition("=")
            yield name, value.replace("$PATH", own.get("PATH", "")) if name == "PATH" else value
