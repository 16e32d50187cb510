"""Repositories of the tests' registry, and small recipes."""

import shutil
from pathlib import Path

import pytest

from model_build.oci.registry import Registry
from model_build.places import ROOT

BUILD_PYTHON = ROOT / ".venv-build" / "bin" / "python"


@pytest.fixture
def registry(host: str) -> Registry:
    return Registry(host)


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository that no other test uses."""
    return f"tests/{request.node.name[:100].replace('_', '-').lower().strip('-')}"


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
