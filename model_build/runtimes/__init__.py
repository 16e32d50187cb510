"""The table of servers: which Runtime a recipe asks for."""

from typing import assert_never

from model_build.recipe import Recipe
from model_build.recipe_runtimes import KServe, OnnxRuntime, TensorFlowServing, TorchServe, Triton, Vllm
from model_build.runtimes import onnxruntime, tensorflow_serving, torchserve, triton, vllm
from model_build.runtimes.runtime import Runtime


def of(recipe: Recipe) -> Runtime:
    """Return the server that a recipe names."""
    match recipe.runtime:
        case OnnxRuntime() as options:
            return onnxruntime.runtime(options, recipe.name)
        case Triton() | KServe() as options:
            return triton.runtime(options, recipe.name)
        case TensorFlowServing() as options:
            return tensorflow_serving.runtime(options, recipe.name)
        case TorchServe() as options:
            return torchserve.runtime(options, recipe.name)
        case Vllm() as options:
            return vllm.runtime(options, recipe.name)
        case other:
            assert_never(other)
