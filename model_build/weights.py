"""Weights that are served as they are: a folder in Hugging Face's layout, looked through without opening a tensor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_build.errors import RecipeError
from model_build.hashing import source_files
from model_build.huggingface import CONFIG, LayoutError, json_object, said, tensors

INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def inspect(folder: Path, tensor_parallel: int, pipeline_parallel: int = 1) -> dict[str, Any]:
    """Return what the folder holds; raises RecipeError for what no server should be given, or could not load."""
    try:
        return _inspect(folder, tensor_parallel, pipeline_parallel)
    except LayoutError as error:
        raise RecipeError(f"steps[0].load.file: {error}") from error


def _inspect(folder: Path, tensor_parallel: int, pipeline_parallel: int) -> dict[str, Any]:
    files = list(source_files(folder))
    _require_plain(files)
    shards = [path for path in files if path.suffix == ".safetensors"]
    if not shards:
        raise LayoutError(folder, "has no .safetensors file", "save the model by save_pretrained")
    found = {one.name: (path.name, one.numbers) for path in shards for one in tensors(path)}
    _require_whole(folder, {name: file for name, (file, _) in found.items()}, len(shards))
    _require_shares(folder, tensor_parallel, pipeline_parallel)
    return {
        "files": len(files),
        "size": sum(path.stat().st_size for path in files),
        "tensors": len(found),
        "parameters": sum(numbers for _, numbers in found.values()),
    }


def _require_plain(files: list[Path]) -> None:
    for path in files:
        if path.suffix in PICKLES:
            remedy = "remove it; safetensors are served"
            raise LayoutError(path, "may be a pickle, which runs its writer's code", remedy)
        if path.suffix == ".py":
            raise LayoutError(path, "is code, which no server here runs", "remove it, or take a model that needs none")


def _require_whole(folder: Path, found: Mapping[str, str], shards: int) -> None:
    index = folder / INDEX
    if not index.is_file():
        if shards > 1:
            raise LayoutError(folder, f"has {shards} shards and no {INDEX}", "copy that file too")
        return
    listed = json_object(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise LayoutError(index, "has no weight_map", "copy it again")
    absent = sorted(name for name, file in listed.items() if found.get(name) != file)
    if absent:
        raise LayoutError(index, f"names {absent[0]!r} in {listed[absent[0]]!r}, where it is not", "copy every shard")


def _require_shares(folder: Path, tensor_parallel: int, pipeline_parallel: int) -> None:
    config = json_object(folder / CONFIG)
    heads, layers = (said(config, key) for key in ("num_attention_heads", "num_hidden_layers"))
    if isinstance(heads, int) and heads % tensor_parallel:
        raise RecipeError(
            f"runtime.tensor_parallel: {tensor_parallel} does not divide the model's {heads} attention heads, "
            "which its GPUs share; take a divisor"
        )
    if isinstance(layers, int) and layers < pipeline_parallel:
        raise RecipeError(
            f"runtime.pipeline_parallel: {pipeline_parallel} is more than the model's {layers} layers, of which each "
            "stage has one at least; lower it"
        )
