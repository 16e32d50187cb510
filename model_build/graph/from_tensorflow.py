"""TensorFlow and Keras models, in an environment of their own: converted to ONNX by tf2onnx, and asked for answers."""

import subprocess
from pathlib import Path
from typing import Any

from model_build import data, npz
from model_build.artifact import OUTPUTS
from model_build.errors import RecipeError
from model_build.graph import TENSORFLOW_PROGRAM
from model_build.job import Job, loaded_file
from model_build.probes import probes

OPSET = 17
REMEDIES = {
    "convert": "save it as a SavedModel or .keras by the TensorFlow of requirements-tensorflow.txt",
    "save": "save it as a SavedModel by the TensorFlow of requirements-tensorflow.txt",
    "answer": "make model and data agree, and check memory",
}
SECONDS = 1800


def convert(job: Job, out: Path) -> None:
    """Write the recipe's model (a SavedModel's folder, .keras or .h5) as ONNX; raises RecipeError."""
    job.progress(0.0, "converting by tf2onnx")
    ask(job, "convert", loaded_file(job), out, str(OPSET))


def run(job: Job) -> dict[str, Any]:
    """Keep what TensorFlow answers to the test split, and to the first samples at each parity batch."""
    inputs = data.read(job.inputs["data"], "test").inputs
    asked = {"test": inputs, **probes(inputs, job.params["batches"], job.params["dynamic_axes"])}
    questions = job.out / "questions.npz"
    npz.save(questions, asked)
    ask(job, "answer", loaded_file(job), questions, str(job.out / OUTPUTS))
    questions.unlink()
    return {"samples": len(inputs)}


def ask(job: Job, what: str, *arguments: Path | str) -> None:
    """Run TensorFlow's program; raises RecipeError saying what it said."""
    command = [job.params["interpreter"], "-P", str(TENSORFLOW_PROGRAM), what, *map(str, arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise RecipeError(
            f"steps[0].load.file: TensorFlow took over {SECONDS} s to {what}; take a smaller model"
        ) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:300]
        raise RecipeError(
            f"steps[0].load.file: {job.params['file']} cannot be used by TensorFlow ({what}): {said}; {REMEDIES[what]}"
        )
