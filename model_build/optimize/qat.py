"""Quantization-aware training: the model learns with int8 rounding in it, and is exported as QDQ ONNX.

torchao's pt2e (Jacob et al., arXiv:1712.05877): observers and fake quantizers are put into the exported program.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torchao.quantization.pt2e import allow_exported_model_train_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from model_build.artifact import MODEL
from model_build.errors import RecipeError
from model_build.job import Job
from model_build.optimize import clean, seeding, structure
from model_build.optimize.export import SAMPLES, dynamic_shapes, to_onnx
from model_build.optimize.fit import fit
from model_build.optimize.int8 import PRESETS


def run(job: Job) -> dict[str, Any]:
    """Train the quantized model and keep it as ONNX; raises RecipeError where it cannot be traced or exported."""
    params = job.params
    seeding.settle(params["seed"])
    _, model = structure.load(job)
    with warnings.catch_warnings():
        # The library warns of its own deprecated parts.
        warnings.simplefilter("ignore")
        prepared = _prepared(job, model)
        fitted = fit(job, prepared, params["finetune"], seed=params["seed"], key=f"{params['key']}.finetune")
        prepared.eval()
        converted = convert_pt2e(prepared)
    allow_exported_model_train_eval(converted)
    clean.save(to_onnx(job, converted), job.out / MODEL)
    return {**fitted.facts, "size": (job.out / MODEL).stat().st_size}


def _prepared(job: Job, model: nn.Module) -> nn.Module:
    types = PRESETS[job.params["instructions"]]
    quantizer = x86.X86InductorQuantizer().set_global(
        x86.get_default_x86_inductor_quantization_config(is_qat=True, reduce_range=types.reduce_range)
    )
    try:
        shapes = (dynamic_shapes(job),)
        program = torch.export.export(model.train(), (structure.sample(job, SAMPLES),), dynamic_shapes=shapes).module()
    except Exception as error:
        raise RecipeError(
            f"steps.quantize.method: qat-int8 cannot trace the model: {str(error)[:300]}; "
            "change the operation it names, or take static-int8"
        ) from error
    return allow_exported_model_train_eval(prepare_qat_pt2e(program, quantizer))
