"""The digits model, built from its recipe where the cache has it not, and digits it was not trained on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.quiet import Others
from benchmarks.serve.contenders import image_python
from benchmarks.serve.serving import FailedError, Truth
from model_build import data, inputs, pipeline, recipe
from model_build.artifact import MODEL
from model_build.cache import StepStore
from model_build.events import sink_for
from model_build.measure import Artifact
from model_build.places import ROOT, cache_root

RECIPE = ROOT / "models" / "digits" / "recipe.yaml"
DIGITS = 32


@dataclass(frozen=True)
class Model:
    """A folder of models as the image has it, the digits' ONNX file, and digits with their scores."""

    models: Path
    file: Path
    truth: Truth


@dataclass(frozen=True)
class Floor:
    """Calls a second of one sample and samples a second in batches of 64; the machine's share that others took."""

    one: float
    many: float
    others: float = 0.0


def digits(folder: Path) -> Model:
    """Build the model and lay it out in `folder`."""
    parsed = recipe.load(RECIPE)
    sink = sink_for(as_json=False, stream=sys.stderr)
    with pipeline.Pipeline(RECIPE, parsed, inputs.compute(RECIPE, None), StepStore(cache_root()), sink) as steps:
        built = steps.build()
    sink.close()
    shutil.copytree(built.artifact.path, folder / "digits")
    file = folder / "digits" / MODEL
    samples = data.read(built.step("data").stored.path, "test").inputs[:DIGITS]
    scores = Artifact(file, threads=1).answer(samples)
    return Model(folder, file, Truth([one[None] for one in samples], list(scores)))


def floor(model: Model, core: int, seconds: float) -> Floor:
    """Return what a loop over the session does on a core; raises FailedError."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as samples:
        np.save(samples, np.concatenate(model.truth.digits))
        samples.flush()
        command: list[str | Path] = ["taskset", "--cpu-list", str(core), image_python(), "-m", "benchmarks.serve.floor"]
        command += [model.file, samples.name, str(seconds)]
        others = Others()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"the floor: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    return Floor(told["one"], told["many"], others.share())
