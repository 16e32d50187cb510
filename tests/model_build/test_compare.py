import json
from pathlib import Path
from typing import Any

import pytest

from model_build.compare import compare
from model_build.errors import RecipeError


def report(folder: Path, inputs: str, epochs: int = 3, accuracy: float = 0.9, server: str = "a") -> None:
    content: dict[str, Any] = {
        "parts": {"recipe": f"hash of {epochs}", "model_server": server},
        "recipe": {"steps": [{"train": {"epochs": epochs}}]},
        "metrics": {"accuracy": accuracy, "size": 1000, "speedup": 2.0},
    }
    (folder / f"{inputs}.json").write_text(json.dumps(content))


def test_a_changed_recipe_and_figure_are_told_before_and_after(tmp_path: Path) -> None:
    report(tmp_path, "aa11")
    report(tmp_path, "bb22", epochs=5, accuracy=0.95)
    found = compare("aa11", "bb22", tmp_path)
    assert found.recipe == ["steps.train.epochs: 3 → 5"]
    assert found.figures == {"accuracy": (0.9, 0.95)}
    assert found.lines()[0] == "recipe   steps.train.epochs: 3 → 5"


def test_a_changed_source_is_told_as_an_input(tmp_path: Path) -> None:
    report(tmp_path, "aa11")
    report(tmp_path, "bb22", server="b")
    assert compare("aa11", "bb22", tmp_path).inputs == ["model_server"]


def test_a_build_compared_with_itself_has_no_difference(tmp_path: Path) -> None:
    report(tmp_path, "aa11")
    assert compare("aa11", "aa", tmp_path).lines() == ["the two builds have the same inputs and figures"]


@pytest.mark.parametrize(("named", "count"), [("cc", 0), ("a", 2), ("../a", 0)])
def test_a_name_that_is_not_one_report_is_refused(tmp_path: Path, named: str, count: int) -> None:
    report(tmp_path, "aa11")
    report(tmp_path, "ab22")
    with pytest.raises(RecipeError, match=f"names {count} reports"):
        compare(named, "aa11", tmp_path)


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(RecipeError, match="is no report of a build"):
        compare(str(tmp_path / "other.json"), str(tmp_path / "other.json"), tmp_path)
