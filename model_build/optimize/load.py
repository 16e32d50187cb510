"""The load step: a model that was trained elsewhere, as it is."""

from typing import Any

from torch import nn

from model_build.errors import RecipeError
from model_build.job import Job, loaded_file
from model_build.optimize import opening, seeding, structure
from model_build.optimize.structure import Structure
from model_build.optimize.train import check_outputs

WEIGHTS_ALONE = ("state-dict", "safetensors")


def run(job: Job) -> dict[str, Any]:
    """Keep the loaded model; raises RecipeError for what cannot be opened or does not fit the factory or the data."""
    seeding.settle(job.params["seed"])
    kind, file = job.params["format"], job.params["file"]
    made = Structure(job.params["entry"] or file, format="module" if job.params["entry"] else kind)
    model = structure.build(job, made)
    if kind in WEIGHTS_ALONE:
        _give(model, opening.open_weights(loaded_file(job), kind), file)
    check_outputs(model, job)
    structure.save(job, made, model)
    return {"format": kind, "parameters": structure.parameters(model)}


def _give(model: nn.Module, weights: Any, file: str) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:300]
        raise RecipeError(
            f"steps[0].load.file: {file} does not fit the model that the factory makes: {said}; name the factory that "
            "made these weights"
        ) from error
