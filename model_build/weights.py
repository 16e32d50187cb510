"""Weights that are served as they are: a folder in Hugging Face's layout, looked through without opening a tensor."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_build.errors import RecipeError
from model_build.hashing import source_files

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def inspect(folder: Path, tensor_parallel: int, pipeline_parallel: int = 1) -> dict[str, Any]:
    """Return what the folder holds; raises RecipeError for what no server should be given, or could not load."""
    files = list(source_files(folder))
    _require_plain(files)
    shards = [path for path in files if path.suffix == ".safetensors"]
    if not shards:
        raise _unusable(folder, "has no .safetensors file", "save the model by save_pretrained")
    shapes = {name: (path.name, size) for path in shards for name, size in _tensors(path)}
    _require_whole(folder, {name: file for name, (file, _) in shapes.items()}, len(shards))
    _require_shares(folder, tensor_parallel, pipeline_parallel)
    return {
        "files": len(files),
        "size": sum(path.stat().st_size for path in files),
        "tensors": len(shapes),
        "parameters": sum(size for _, size in shapes.values()),
    }


def _require_plain(files: list[Path]) -> None:
    for path in files:
        if path.suffix in PICKLES:
            raise _unusable(path, "may be a pickle, which runs its writer's code", "remove it; safetensors are served")
        if path.suffix == ".py":
            raise _unusable(path, "is code, which no server here runs", "remove it, or take a model that needs none")


def _tensors(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each tensor's name and number of elements, from the header alone."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 (the build environment's alone)

    try:
        with safe_open(path, framework="np") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                size = 1
                for length in opened.get_slice(name).get_shape():
                    size *= length
                yield name, size
    except (OSError, SafetensorError) as error:
        raise _unusable(path, f"is no sound safetensors file ({error})", "copy it again") from error


def _require_whole(folder: Path, found: Mapping[str, str], shards: int) -> None:
    index = folder / INDEX
    if not index.is_file():
        if shards > 1:
            raise _unusable(folder, f"has {shards} shards and no {INDEX}", "copy that file too")
        return
    listed = _object(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise _unusable(index, "has no weight_map", "copy it again")
    absent = sorted(name for name, file in listed.items() if found.get(name) != file)
    if absent:
        raise _unusable(index, f"names {absent[0]!r} in {listed[absent[0]]!r}, where it is not", "copy every shard")


def _require_shares(folder: Path, tensor_parallel: int, pipeline_parallel: int) -> None:
    config = _object(folder / CONFIG)
    heads, layers = (_said(config, key) for key in ("num_attention_heads", "num_hidden_layers"))
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


def _said(config: Mapping[str, Any], key: str) -> Any:
    inner = config.get("text_config")
    return config.get(key, inner.get(key) if isinstance(inner, dict) else None)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(path, f"cannot be read ({error})", "copy it beside the weights") from error
    if not isinstance(found, dict):
        raise _unusable(path, "is no JSON object", "copy it again")
    return found


def _unusable(path: Path, what: str, remedy: str) -> RecipeError:
    return RecipeError(f"steps[0].load.file: {path.name}: {what}; {remedy}")
