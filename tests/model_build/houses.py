"""A copy of the checkout whose digits train in seconds, with a cache of its own, and builds in it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.environment import build_interpreter
from model_build.places import ROOT

ROOMS = ("model_build", "model_server", "models")
SMALL = {
    r"epochs: \d+": "epochs: 3",
    r"min_accuracy: [\d.]+": "min_accuracy: 0.3",
    r"max_drop: [\d.]+": "max_drop: 0.3",
}
Events = list[dict[str, Any]]


@dataclass(frozen=True)
class House:
    """A copy of the checkout with short training, and a cache of its own."""

    root: Path
    cache: Path

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.root / "models" / "digits"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a build."""
        return dict(os.environ) | {"MODELSTACK_CACHE": str(self.cache), "PYTHONPATH": str(self.root)}

    def build(self) -> tuple[int, Events]:
        """Build; returns the exit code and every event."""
        command = ["build", "--json", "--recipe", str(self.folder / "recipe.yaml")]
        done = self.python("-m", "model_build", *command)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events, done.stderr
        return done.returncode, events

    def built(self, *steps: str) -> tuple[int, Events]:
        """Build with further steps before the export."""
        text = "".join(f"  - {step}\n" for step in steps) + "  - export"
        with self.changed("recipe.yaml", r"  - export", text):
            return self.build()

    def report(self, events: Events) -> dict[str, Any]:
        """Return the report of a build that passed."""
        assert events[-1]["event"] == "result", events[-1]
        found: dict[str, Any] = json.loads((self.cache / events[-1]["report"]).read_bytes())
        return found

    @contextmanager
    def searching(self, *candidates: str) -> Iterator[None]:
        """Leave the choice among fp32 and `candidates`, each `name: [steps]`, to the search for the block."""
        listed = "".join(f"\n    {one}" for one in candidates)
        with (
            self.changed("recipe.yaml", r"\n  - quantize.*", ""),
            self.changed("recipe.yaml", r"max_size_ratio: [\d.]+", "max_size_ratio: 1.0"),
            self.changed("recipe.yaml", r"gates:", f"search:\n  seconds: 600\n  candidates:{listed}\ngates:"),
        ):
            yield

    def python(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run the build environment's interpreter."""
        command = [build_interpreter(print), *arguments]
        return subprocess.run(command, env=self.variables, cwd=self.root, capture_output=True, text=True, check=False)

    @contextmanager
    def changed(self, file: str, pattern: str, new: str) -> Iterator[None]:
        """Change a file of the model for the block; a pattern that is not there once fails."""
        path = self.folder / file
        kept = path.read_text()
        text, count = re.subn(pattern, new, kept)
        assert count == 1, pattern
        path.write_text(text)
        try:
            yield
        finally:
            path.write_text(kept)


def open_house(root: Path, cache: Path) -> House:
    """Return a house in `root`."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, root)
    recipe = root / "models" / "digits" / "recipe.yaml"
    for pattern, new in SMALL.items():
        recipe.write_text(re.sub(pattern, new, recipe.read_text()))
    return House(root, cache)


def ran(events: Events) -> list[str]:
    """Return the steps that a build which passed did not find in the cache."""
    assert events[-1]["event"] == "result", events[-1]
    return [row["name"] for row in events[-1]["steps"] if row["state"] == "done"]
