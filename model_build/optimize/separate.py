"""The step that makes convolutions depthwise-separable; the distillation after it trains what they became."""

from typing import Any

from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import seeding, separable, structure
from model_build.optimize.structure import Edit


def run(job: Job) -> dict[str, Any]:
    """Replace the recipe's layers, or all that can be; raises RecipeError for a layer that cannot."""
    seeding.settle(job.params["seed"])
    made, model = structure.load(job)
    before = structure.parameters(model)
    possible = separable.candidates(model)
    names = possible if job.params["layers"] is None else job.params["layers"]
    wrong = sorted(set(names) - set(possible))
    if wrong or not names:
        raise RecipeError(
            f"steps.separable.layers: {wrong} of {names} are no convolutions over several channels with a kernel "
            f"above 1 x 1, the limit is one of {possible}; name some of them or leave the step out"
        )
    separable.separate(model, names)
    structure.save(job, made.after(Edit(separated=tuple(names))), model)
    return {"parameters_before": before, "parameters": structure.parameters(model)}
