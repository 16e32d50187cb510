"""`python -m tests.gpu.built FOLDER`: models of this project as their recipes make them, and in float16.

Needs the build environment; a machine with a GPU that has none takes the folder (MODELSTACK_TEST_MODELS).
"""

import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from model_build import inputs, pipeline, recipe
from model_build.cache import StepStore
from model_build.events import sink_for
from model_build.places import ROOT, cache_root

RECIPES = ("digits", "mnist")
HALF = "-float16"


def build(root: Path) -> None:
    """Build the models below `root`."""
    for name in RECIPES:
        _built(ROOT / "models" / name / "recipe.yaml", root / name)
        with tempfile.TemporaryDirectory() as place:
            _built(_halved(ROOT / "models" / name, Path(place) / name), root / f"{name}{HALF}")


def _halved(source: Path, copy: Path) -> Path:
    """Return the recipe of a copy that quantizes by `float16`."""
    shutil.copytree(source, copy)
    path = copy / "recipe.yaml"
    document = yaml.safe_load(path.read_text())
    document["name"] += HALF
    document["steps"] = [step for step in document["steps"] if "quantize" not in step]
    document["steps"].append({"quantize": {"method": "float16"}})
    # Half of the weights, and a few nodes that cast.
    document["gates"]["max_size_ratio"] = 0.55
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _built(path: Path, folder: Path) -> None:
    parsed = recipe.load(path)
    sink = sink_for(as_json=False, stream=sys.stderr)
    with pipeline.Pipeline(path, parsed, inputs.compute(path, None), StepStore(cache_root()), sink) as steps:
        shutil.copytree(steps.build().artifact.path, folder)
    sink.close()


if __name__ == "__main__":
    build(Path(sys.argv[1]))
