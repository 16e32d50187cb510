"""Repositories of the tests' registry, and small recipes."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_build.oci.registry import Registry
from model_build.places import ROOT
from tests.model_build.builder import Builder

BUILD_PYTHON = ROOT / ".venv-build" / "bin" / "python"


@pytest.fixture
def registry(host: str) -> Registry:
    return Registry(host)


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository that no other test uses."""
    name = str(request.node.name)
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower())[:80].strip("-")
    return f"tests/{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The digits recipe in a folder of its own."""
    folder = tmp_path / "models" / "digits"
    shutil.copytree(ROOT / "models" / "digits", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "recipe.yaml"


def replaced(recipe: Path, old: str, new: str) -> None:
    """Change the recipe's text; a test whose text is not there fails."""
    text = recipe.read_text()
    assert old in text, f"{old!r} is not in {recipe}"
    recipe.write_text(text.replace(old, new))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for builds whose tests do not ask which steps ran; all workers share it."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if own.name.startswith("popen-") else own) / "shared-cache"


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    """The process that builds for tests which do not ask about processes."""
    made = Builder()
    yield made
    made.close()
