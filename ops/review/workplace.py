"""Where the engine works for a review stack: what it would write into the checkout lands in a folder that goes."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.engine import Engine, EngineError, call

# The engine takes what encrypts a stack from its state where the settings do not say, in every backend.
FALLBACK = {"PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true"}  # pragma: allowlist secret
# Settings for commands that run no program; the project declares these without a default.
NONE: dict[str, Any] = {"config": {"modelstack:models": {}}}


@dataclass(frozen=True)
class Workplace:
    """A checkout, the environment of its engine, and a folder of this run's own that nobody else reads."""

    project: Path
    environment: Mapping[str, str]
    folder: Path
    name: str
    """The project's."""

    @property
    def settings(self) -> Path:
        """The stack's settings while the engine works."""
        return self.folder / "settings.yaml"

    def aside(self, stack: str) -> Engine:
        """Return the engine for what needs no program: it finds the project's name here, and nothing else."""
        return Engine(self.folder, stack, self.environment)

    def inside(self, stack: str, document: Mapping[str, Any], **variables: str) -> Engine:
        """Return the engine for what needs the checkout, with these settings in place of a file there."""
        self.settings.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
        own = {"PULUMI_OPTION_CONFIG_FILE": str(self.settings), **variables}
        return Engine(self.project, stack, {**self.environment, **own})


@contextmanager
def workplace(project: Path, environment: Mapping[str, str]) -> Iterator[Workplace]:
    """Yield a workplace; raises EngineError where `project` holds none."""
    name = Engine(project, "", environment).project_name
    with tempfile.TemporaryDirectory(prefix="modelstack-review-") as folder:
        own = Path(folder)
        (own / "Pulumi.yaml").write_text(yaml.safe_dump({"name": name, "runtime": "python"}), encoding="utf-8")
        yield Workplace(project, {**environment, **FALLBACK}, own, name)


def streamed(engine: Engine, *arguments: str) -> None:
    """Run a command of the engine on its stack and show what it says on standard error; raises EngineError."""
    program = shutil.which("pulumi", path=engine.environment.get("PATH", ""))
    if program is None:
        raise EngineError("pulumi: is not on PATH; install it, or build it with `python -m local up`")
    command = [program, *arguments, "--stack", engine.stack, "--non-interactive"]
    code = call(command, engine, {}, stdout=sys.stderr)
    if code:
        raise EngineError(f"`pulumi {' '.join(arguments)}` of stack {engine.stack} ended with {code}; see above")
