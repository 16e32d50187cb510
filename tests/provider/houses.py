"""A project with one small model, and a registry of its own for the images of its stacks."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provider.registry import Repository
from tests.provider.conftest import RECIPE
from tests.provider.stacks import ROOT, Project, Stack, processes_of
from tests.registry import push_base, running_registry

PROGRAM = """
import os
import pulumi
from provider.resources import ModelImage, ModelImageArgs, PinnedImage, PinnedImageArgs

if "PINNED" in os.environ:
    pinned = PinnedImage("pinned", PinnedImageArgs(image=os.environ["PINNED"], repin=os.environ.get("REPIN")))
    pulumi.export("pinned", pinned.reference)
else:
    places = dict(base=os.environ["BASE"], push=os.environ["REGISTRY"], repository=os.environ["REPOSITORY"])
    keys = dict(signing_key=os.environ.get("SIGNING_KEY"), public_keys=os.environ.get("PUBLIC_KEYS", "").split())
    origin = dict(copy_from=os.environ.get("COPY_FROM"), copy_keys=os.environ.get("COPY_KEYS", "").split())
    image = ModelImage("tiny", ModelImageArgs(recipe="tiny/recipe.yaml", **places, **keys, **origin))
    pulumi.export("image", image.image)
    pulumi.export("metrics", image.metrics)
"""


@dataclass(frozen=True)
class House:
    """A project with a small model, and a registry for its images."""

    project: Project
    host: str
    base: str

    @property
    def recipe(self) -> Path:
        """The model's recipe."""
        return self.project.folder / "tiny/recipe.yaml"

    def train_for_hours(self) -> None:
        """Have the recipe train for hours, with parameters that no earlier run has cached."""
        patience = f"patience: {1000 + time.time_ns() % 9000}"
        self.recipe.write_text(RECIPE.replace("epochs: 3", "epochs: 10000").replace("patience: 5", patience))

    def stack(self, name: str, repository: str) -> Stack:
        """Return a new stack that pushes to `repository`."""
        return self.project.stack(name, BASE=self.base, REGISTRY=self.host, REPOSITORY=repository)

    def images(self, repository: str) -> Repository:
        """Return a repository of the registry."""
        return Repository(self.host, repository, None, self.project.folder)


@contextmanager
def open_house(folder: Path, program: str = PROGRAM) -> Iterator[House]:
    """Yield a house in `folder`; at its end no process works for it."""
    shutil.copytree(ROOT / "models/digits", folder / "project/tiny", ignore=shutil.ignore_patterns("__pycache__"))
    project = Project.make(folder / "project", program)
    with running_registry(folder / "registry") as host:
        yield House(project, host, push_base(host))
    left = processes_of(folder)
    for one in left:
        os.kill(int(one.split()[0]), signal.SIGKILL)
    assert left == []


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the tests of a file."""
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
def house(shared_house: House) -> House:
    """The shared house, with the recipe as it was: one that is built in seconds."""
    shared_house.recipe.write_text(RECIPE)
    return shared_house
