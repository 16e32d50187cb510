"""Steps of whole builds in the build environment, without a registry: what runs again, what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.model_build.houses import Events, House, open_house, ran

pytestmark = pytest.mark.build
STEPS = ["data", "train", "export", "quantize", "reference", "gates", "artifact"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, Events]:
    """A build that passed, with its events."""
    house = open_house(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("cache"))
    code, events = house.build()
    assert code == 0, events[-1]
    return house, events


def test_every_step_is_told_from_start_to_end(built: tuple[House, Events]) -> None:
    for step in STEPS:
        states = [one["state"] for one in built[1] if one.get("step") == step]
        assert (states[0], states[-1], set(states[1:-1]) <= {"running"}) == ("started", "done", True), step


def test_the_artifact_is_what_the_server_reads(built: tuple[House, Events]) -> None:
    folder = Path(built[1][-1]["artifact"])
    assert sorted(path.name for path in folder.iterdir()) == ["baseline.json", "golden.npz", "model.json", "model.onnx"]
    contract = json.loads((folder / "model.json").read_bytes())
    assert contract["version"] == built[1][-1]["inputs"][:12]
    assert contract["inputs_hash"] == built[1][-1]["inputs"]
    assert contract["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]


def test_the_report_holds_steps_figures_and_training(built: tuple[House, Events]) -> None:
    house, events = built
    report = house.report(events)
    assert [row["name"] for row in report["steps"]] == STEPS
    assert report["facts"]["data"]["samples"] == {"train": 1258, "validation": 179, "test": 360}
    assert [row["epoch"] for row in report["curves"]["train"]] == [1, 2, 3]
    assert report["metrics"] == events[-1]["metrics"]


def test_a_second_build_runs_no_step(built: tuple[House, Events]) -> None:
    assert ran(built[0].build()[1]) == []


@pytest.mark.parametrize(
    ("pattern", "new", "again"),
    [
        (r"calibration_samples: \d+", "calibration_samples: 99", ["quantize", "gates", "artifact"]),
        (r"max_latency_ms: \d+", "max_latency_ms: 500", ["gates", "artifact"]),
        (r"opset: \d+", "opset: 21", ["export", "quantize", "gates", "artifact"]),
    ],
)
def test_a_changed_parameter_runs_its_step_and_those_after_it(
    built: tuple[House, Events], pattern: str, new: str, again: list[str]
) -> None:
    with built[0].changed("recipe.yaml", pattern, new):
        assert ran(built[0].build()[1]) == again


def test_a_damaged_step_is_made_again_and_the_artifact_is_the_same(built: tuple[House, Events]) -> None:
    house, events = built
    artifact = Path(events[-1]["artifact"])
    kept = (artifact / "model.onnx").read_bytes()
    (artifact / "model.onnx").write_bytes(b"damaged")
    assert ran(house.build()[1]) == ["artifact"]
    assert (artifact / "model.onnx").read_bytes() == kept


def test_two_builds_at_once_make_each_step_once(built: tuple[House, Events]) -> None:
    house = built[0]
    with house.changed("recipe.yaml", r"seed: \d+", "seed: 8"), ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: house.build()[1], range(2))
    assert sorted([*ran(one), *ran(other)]) == sorted(STEPS)
    assert one[-1]["artifact"] == other[-1]["artifact"]


def test_a_learning_rate_that_breaks_training_ends_with_3_and_is_named(built: tuple[House, Events]) -> None:
    house = built[0]
    with (
        house.changed("recipe.yaml", r"learning_rate: [\d.]+", "learning_rate: 10"),
        house.changed("model.py", r"nn\.Linear\(64, 10\),", "nn.Linear(64, 10), Broken(),"),
        house.changed(
            "model.py",
            r"\ndef build",
            "\nclass Broken(nn.Module):\n    def forward(self, x):\n        return x * float('nan')\n\n\ndef build",
        ),
    ):
        code, events = house.build()
    assert (code, events[-1]["kind"]) == (3, "recipe")
    assert "steps.train.learning_rate: with 10" in events[-1]["message"]


def test_a_model_with_too_few_logits_ends_with_3_and_both_shapes(built: tuple[House, Events]) -> None:
    with built[0].changed("model.py", r"nn\.Linear\(64, 10\)", "nn.Linear(64, 9)"):
        code, events = built[0].build()
    assert (code, events[-1]["kind"]) == (3, "recipe")
    assert "shape (2, 9), the limit is (2, 10)" in events[-1]["message"]


def test_weights_that_hold_a_pickled_object_are_refused(built: tuple[House, Events], tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, torch\n"
        "from model_build.job import Job\n"
        "from model_build.optimize import structure\n"
        "class Evil:\n"
        f"    def __reduce__(self):\n        return (os.mkdir, ({str(told)!r},))\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "torch.save({'0.weight': Evil()}, folder / structure.WEIGHTS)\n"
        '(folder / structure.STRUCTURE).write_text(\'{"entry": "model.py:build", "edits": [], "format": "module"}\')\n'
        f"model = pathlib.Path({str(built[0].folder)!r})\n"
        "structure.load(Job({'model': folder}, {}, folder, model, print))\n"
    )
    done = built[0].python(script)
    assert done.returncode != 0
    assert "Weights only load failed" in done.stderr
    assert not told.exists()
