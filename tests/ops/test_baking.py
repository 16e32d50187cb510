"""`ops up` has the embedded platform make the images that the stack runs besides its models, and no other."""

from pathlib import Path

import pytest

from ops import stack
from tests.ops.test_stack import project

MODELS = "config:\n  modelstack:models: {tiny: {recipe: tiny/recipe.yaml}}\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Every command that `local` was asked for."""
    found: list[tuple[str, ...]] = []

    def local(_: Path, *command: str) -> int:
        found.append(command)
        return 0

    monkeypatch.setattr(stack, "_local", local)
    return found


def with_recipe(folder: Path, settings: str) -> Path:
    (folder / "tiny").mkdir()
    (folder / "tiny/recipe.yaml").write_text("name: tiny\n")
    return project(folder, settings)


def test_the_images_of_the_stack_are_baked_after_the_platform_is_up(
    tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    assert stack.start(with_recipe(tmp_path, MODELS), "dev") == 0
    assert asked == [("up",), ("bake", "prometheus")]


def test_a_stack_that_runs_nothing_else_bakes_nothing(tmp_path: Path, asked: list[tuple[str, ...]]) -> None:
    alone = MODELS + "  modelstack:monitoring: {enabled: false}\n"
    assert stack.start(with_recipe(tmp_path, alone), "dev") == 0
    assert asked == [("up",)]


def test_settings_that_are_wrong_are_left_to_the_program(tmp_path: Path, asked: list[tuple[str, ...]]) -> None:
    assert stack.start(with_recipe(tmp_path, MODELS + "  modelstack:modles: {}\n"), "dev") == 0
    assert asked == [("up",)]


def test_a_platform_that_does_not_start_bakes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def fails(_: Path, *command: str) -> int:
        asked.append(command)
        return 3

    monkeypatch.setattr(stack, "_local", fails)
    assert stack.start(with_recipe(tmp_path, MODELS), "dev") == 3
    assert asked == [("up",)]
