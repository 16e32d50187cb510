"""A copy of the checkout whose digits train in seconds, with a cache of its own, and builds in it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_build.environment import build_interpreter
from model_build.places import ROOT, cache_root
from tests.model_build.builder import Builder

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
    model: str = "digits"
    builder: Builder | None = None

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.root / "models" / self.model

    def of(self, model: str, recipe: str) -> "House":
        """Return the house with another model's folder, whose recipe is this one."""
        other = replace(self, model=model)
        (other.folder / "recipe.yaml").write_text(recipe)
        return other

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a build."""
        return dict(os.environ) | {"MODELSTACK_CACHE": str(self.cache), "PYTHONPATH": str(self.root)}

    def build(self) -> tuple[int, Events]:
        """Build; returns the exit code and every event."""
        recipe = self.folder / "recipe.yaml"
        if self.builder is not None:
            return self.builder.build(recipe, self.cache)
        command = ["build", "--json", "--recipe", str(recipe)]
        done = self.python("-m", "model_build", *command)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events, done.stderr
        return done.returncode, events

    def built(self, *steps: str) -> tuple[int, Events]:
        """Build with further steps before the export."""
        text = "".join(f"  - {step}\n" for step in steps) + "  - export"
        with self.changed("recipe.yaml", r"  - export", text):
            return self.build()

    def built_for_torchserve(self) -> tuple[int, Events]:
        """Build without quantization, to be served by TorchServe."""
        with (
            self.changed("recipe.yaml", r"\n  - quantize.*", ""),
            self.changed("recipe.yaml", r"runtime: .*", "runtime: {name: torchserve}"),
            self.changed("recipe.yaml", r"max_size_ratio: [\d.]+", "max_size_ratio: 1.0"),
        ):
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


def open_house(root: Path, cache: Path, builder: Builder | None = None) -> House:
    """Return a house in `root`; without a builder each build is a process with workers of its own."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    # torch starts in half the time from bytecode, which is the same for every house.
    bytecode = cache / "bytecode"
    if not bytecode.is_symlink():
        cache.mkdir(parents=True, exist_ok=True)
        (cache_root() / "bytecode").mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            bytecode.symlink_to(cache_root() / "bytecode")
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, root)
    recipe = root / "models" / "digits" / "recipe.yaml"
    for pattern, new in SMALL.items():
        recipe.write_text(re.sub(pattern, new, recipe.read_text()))
    return House(root, cache, builder=builder)


def ran(events: Events) -> list[str]:
    """Return the steps that a build which passed did not find in the cache."""
    assert events[-1]["event"] == "result", events[-1]
    return [row["name"] for row in events[-1]["steps"] if row["state"] == "done"]
