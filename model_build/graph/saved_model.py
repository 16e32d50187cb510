"""The saved-model step: TensorFlow's own model as the SavedModel that TensorFlow Serving reads."""

from typing import Any

from model_build.graph.from_tensorflow import ask
from model_build.job import Job, loaded_file
from model_build.runtimes.tensorflow_serving import SAVED_MODEL


def run(job: Job) -> dict[str, Any]:
    """Keep a SavedModel as it came, anything else as Keras exports it; raises RecipeError."""
    out = job.out / SAVED_MODEL
    ask(job, "save", loaded_file(job), out)
    return {"size": sum(path.stat().st_size for path in out.rglob("*") if path.is_file())}
