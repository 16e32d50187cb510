"""Stacks to measure: of this project's models, and of resources that do nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.scale import provider
from model_build.environment import build_interpreter
from model_build.places import ROOT

RECIPE = "models/digits"
# A hundred pods have to fit on the node of this machine.
RESOURCES = {"cpuRequest": "5m", "cpuLimit": "1", "memoryRequest": "64Mi", "memoryLimit": "256Mi"}
ROLLOUT_SECONDS = 1800
PROGRAM = """
import pulumi

for number in range(pulumi.Config().require_int("count")):
    pulumi.CustomResource("nothing:index:Nothing", f"it-{number}", {"number": number})
"""


class FailedError(Exception):
    """A command of a stack failed; the message has its last lines."""


@dataclass(frozen=True)
class Stack:
    """A stack of the project in `folder`."""

    name: str
    folder: Path
    environment: Mapping[str, str]

    def timed(self, command: str) -> float:
        """Run `pulumi COMMAND` and return the seconds that it took. Raises FailedError."""
        asking = [] if command == "preview" else ["--yes", "--skip-preview"]
        began = time.monotonic()
        self._run(command, "--stack", self.name, "--non-interactive", "--suppress-outputs", *asking)
        return time.monotonic() - began

    def resources(self) -> int:
        """Return how many resources the state holds, without the stack itself."""
        state: dict[str, Any] = json.loads(self._run("stack", "export", "--stack", self.name))
        return len(state["deployment"].get("resources") or []) - 1

    def remove(self) -> None:
        """Forget the stack, of which nothing is left."""
        self._run("stack", "rm", self.name, "--yes")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise FailedError(f"pulumi {arguments[0]} of {self.name} ended with {done.returncode}:\n{last}")
        return done.stdout


def project(folder: Path, sizes: tuple[int, ...]) -> Path:
    """Return a clone of this project with a recipe of its own for each model, and a stack of each size."""
    clone = folder / "project"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    # Made here where it is missing, and not once more in the clone.
    build_interpreter(lambda line: print(line, file=sys.stderr, flush=True))
    (clone / ".venv-build").symlink_to(ROOT / ".venv-build")
    recipe = (clone / RECIPE / "recipe.yaml").read_text(encoding="utf-8")
    names = [f"m{number}" for number in range(max(sizes))]
    for name in names:
        own = clone / "models" / name
        shutil.copytree(clone / RECIPE, own)
        (own / "recipe.yaml").write_text(recipe.replace("name: digits", f"name: {name}", 1), encoding="utf-8")
    for size in sizes:
        models = {
            name: {
                "recipe": f"models/{name}/recipe.yaml",
                "replicas": 1,
                "resources": RESOURCES,
                "rolloutSeconds": ROLLOUT_SECONDS,
            }
            for name in names[:size]
        }
        settings = {"config": {"modelstack:models": models}}
        (clone / f"Pulumi.scale{size}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return clone


def floor(folder: Path, size: int, resources: int) -> Path:
    """Return a project of `resources` resources whose provider does nothing, by a stack of the same name."""
    own = folder / f"floor-{size}"
    provider.write(own / "provider", "nothing", "1.0.0", previews=False)
    document = {
        "name": "floor",
        "runtime": "python",
        "plugins": {"providers": [{"name": "nothing", "path": "./provider"}]},
    }
    (own / "Pulumi.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (own / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    settings = {"config": {"floor:count": str(resources)}}
    (own / f"Pulumi.scale{size}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return own
