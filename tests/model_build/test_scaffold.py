"""`new`, and what becomes of it: the command line as a user gives it."""

import json
import shutil
from pathlib import Path

import pytest

from model_build import recipe as recipes
from model_build.errors import RecipeError
from model_build.scaffold import create
from tests.model_build.houses import House, open_house


def test_a_new_model_has_a_sound_recipe_of_its_name(tmp_path: Path) -> None:
    assert recipes.load(create("spam-filter", tmp_path)).name == "spam-filter"


@pytest.mark.parametrize("name", ["Spam", "-spam", "spam-", "", "a" * 41, "../spam"])
def test_a_name_that_cannot_be_taken_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="must match"):
        create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    recipe = create("spam", tmp_path)
    recipe.write_text("mine")
    with pytest.raises(RecipeError, match="exists already"):
        create("spam", tmp_path)
    assert recipe.read_text() == "mine"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    made = open_house(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("cache"))
    done = made.python("-m", "model_build", "new", "spam")
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.build
def test_a_new_model_passes_its_own_gates(house: House) -> None:
    done = house.python("-m", "model_build", "build", "--json", "--recipe", house.root / "models/spam/recipe.yaml")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["metrics"]["accuracy"] >= 0.93


@pytest.mark.build
@pytest.mark.parametrize(
    ("options", "file"),
    [
        ([], "model.onnx"),
        (["--format", "ort"], "model.ort"),
        (["--format", "ort", "--target", "arm64"], "model.arm64.ort"),
    ],
)
def test_export_writes_a_model_that_gives_the_golden_answers(house: House, options: list[str], file: str) -> None:
    out = house.root / "out"
    shutil.rmtree(out, ignore_errors=True)
    recipe = house.folder / "recipe.yaml"
    done = house.python("-m", "model_build", "export", "--recipe", recipe, "--out", out, *options)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"artifact {out}"
    assert sorted(path.name for path in out.iterdir()) == sorted({"baseline.json", "golden.npz", "model.json", file})
    script = house.root / "answers.py"
    script.write_text(
        "import sys, numpy, onnxruntime\n"
        "golden = numpy.load(sys.argv[2])\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "answers = session.run(None, {'input': golden['inputs']})[0]\n"
        "numpy.testing.assert_allclose(answers, golden['outputs'], rtol=1e-3, atol=1e-4)\n"
    )
    done = house.python(script, out / file, out / "golden.npz")
    assert done.returncode == 0, done.stderr
