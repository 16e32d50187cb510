"""What a graph answers as it came, for the gates to hold the artifact to."""

from typing import Any

from model_build import data, npz
from model_build.artifact import OUTPUTS
from model_build.errors import RecipeError
from model_build.graph.load import SOURCE
from model_build.job import Job
from model_build.measure import Artifact, UnusableError
from model_build.probes import probes


def run(job: Job) -> dict[str, Any]:
    """Keep the source's answers to the test split, and to the first samples at each parity batch."""
    inputs = data.read(job.inputs["data"], "test").inputs
    try:
        source = Artifact(job.inputs["source"] / SOURCE)
        answers = {"test": source.answer_all(inputs)}
        for name, probe in probes(inputs, job.params["batches"], job.params["dynamic_axes"]).items():
            answers[name] = source.answer(probe)
    except UnusableError as error:
        raise RecipeError(
            f"steps[0].load.file: {error}, the limit is an answer at every batch; make model and data agree, "
            "and export with a dynamic batch"
        ) from error
    npz.save(job.out / OUTPUTS, answers)
    return {"samples": len(inputs)}
