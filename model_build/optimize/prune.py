"""Pruning, with fine-tuning: single weights to zero, or whole channels out of the model."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils import prune as masks

from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import channels, seeding, structure
from model_build.optimize.fit import Fitted, fit
from model_build.optimize.structure import Edit, Structure


def run(job: Job) -> dict[str, Any]:
    """Prune the model and train what is left; tells parameters before and after, and the share of zeros.

    Zeros make no model faster in onnxruntime; fewer channels do.
    """
    seeding.settle(job.params["seed"])
    made, model = structure.load(job)
    before = structure.parameters(model)
    if job.params["method"] == "unstructured":
        fitted = _zero_weights(job, model)
    else:
        made, fitted = _remove_channels(job, made, model)
    structure.save(job, made, model)
    return {
        **fitted.facts,
        "parameters_before": before,
        "parameters": structure.parameters(model),
        "sparsity": sparsity(model),
    }


def sparsity(model: nn.Module) -> float:
    """Return the share of parameters that are zero."""
    zeros = sum(int((one == 0).sum()) for one in model.parameters())
    return zeros / structure.parameters(model)


def _zero_weights(job: Job, model: nn.Module) -> Fitted:
    chosen = [(layer, "weight") for layer in model.modules() if isinstance(layer, channels.LAYERS)]
    if not chosen:
        raise RecipeError(
            "steps.prune.method: 'unstructured' finds no convolution and no linear layer; leave the step out"
        )
    masks.global_unstructured(chosen, pruning_method=masks.L1Unstructured, amount=job.params["amount"])
    fitted = _finetune(job, model)
    for layer, name in chosen:
        masks.remove(layer, name)
    return fitted


def _remove_channels(job: Job, made: Structure, model: nn.Module) -> tuple[Structure, Fitted]:
    removed = channels.remove(model, structure.sample(job), job.params["amount"], job.params["round_to"])
    if not removed:
        raise RecipeError(
            f"steps.prune.amount: {job.params['amount']} with round_to {job.params['round_to']} removes no channel, "
            "the limit is one at least; lower round_to below the layers' channels, or raise amount"
        )
    return made.after(Edit(removed=tuple(removed))), _finetune(job, model)


def _finetune(job: Job, model: nn.Module) -> Fitted:
    return fit(job, model, job.params["finetune"], seed=job.params["seed"], key=f"{job.params['key']}.finetune")
