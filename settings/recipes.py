"""What a recipe says that the settings of its model have to fit: its server, and the GPUs that it asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from settings.base import SettingsError
from settings.node_pools import GPU
from settings.stack import ModelSettings, Settings

OWN_SERVER = "onnxruntime"  # the one that runs on the stack's base
NAMED_IN_BODY = "vllm"  # the one whose clients name the model in the body alone, where no path tells it
WITH_SHARED_MEMORY = ("vllm",)  # those whose processes meet in /dev/shm, which is MPS' own where there is one
SHARED_BY_GPUS = "vllm"  # the one whose layers several GPUs share
BY_KSERVE = ("kserve", "vllm")  # those that KServe has a runtime for


def server_of(recipe: Path) -> str:
    """Return the name of the server that a recipe asks for."""
    runtime = _said_in(recipe).get("runtime")
    return str(runtime.get("name") or OWN_SERVER) if isinstance(runtime, Mapping) else OWN_SERVER


def gpus_of(recipe: Path, nodes: int = 1) -> int:
    """Return how many GPUs a pod of a recipe's server is given; one of `nodes` that share those of a replica."""
    runtime = _said_in(recipe).get("runtime")
    if not isinstance(runtime, Mapping):
        return 0
    if runtime.get("name") == SHARED_BY_GPUS:
        return _shared(runtime) // nodes
    found = 1 if runtime.get("device") == "gpu" else runtime.get("gpus", 0)
    return found if isinstance(found, int) else 0


def require_fits(key: str, project: Path, name: str, settings: Settings) -> None:
    """Raise SettingsError where a model's settings, at `key`, and its recipe exclude each other."""
    model = settings.models[name]
    path = project / model.recipe
    if not path.is_file():
        raise SettingsError(
            f"{key}.recipe: {model.recipe!r} names no file below the project's folder; "
            "write the recipe or correct the path"
        )
    said = _said_in(path)
    if said.get("name") not in (None, name):
        raise SettingsError(
            f"{key}: is not {said['name']!r}, the name in {model.recipe} that the server answers to; use that"
        )
    if server_of(path) != OWN_SERVER:
        _require_other_server_fits(key, server_of(path), model)
    if model.serve.by_kserve:
        _require_kserve_fits(f"{key}.serve", path, model)
    _require_gpus(key, path, model, settings)


def _shared(runtime: Mapping[str, Any]) -> int:
    """Return the GPUs of a replica whose layers they share; what is no number the provider refuses."""
    shares = [runtime.get(key, 1) for key in ("tensor_parallel", "pipeline_parallel")]
    return math.prod(shares) if all(isinstance(one, int) for one in shares) else 0


def _require_gpus(key: str, path: Path, model: ModelSettings, settings: Settings) -> None:
    gpus, pools = gpus_of(path, model.serve.nodes), settings.gpu_pools
    if model.gpu_pool is None:
        if gpus and settings.aws:
            known = f"name one of {', '.join(sorted(pools))}" if pools else "add a pool to aws.gpuPools and name it"
            raise SettingsError(
                f"{key}.gpuPool: is missing; {model.recipe} asks for {gpus} GPU{'s'[: gpus > 1]}, {known}"
            )
        return
    pool = pools[model.gpu_pool]
    if not gpus:
        raise SettingsError(
            f"{key}.gpuPool: {model.gpu_pool!r}, and {model.recipe} asks for no GPU; remove it, or add GPUs to the "
            "recipe's runtime"
        )
    if pool.share and pool.share.by == "mps" and server_of(path) in WITH_SHARED_MEMORY:
        raise SettingsError(
            f"{key}.gpuPool: {model.gpu_pool!r} shares GPUs by MPS, which takes /dev/shm from {server_of(path)}; name "
            "a pool that shares by timeSlicing or mig, or not at all"
        )
    if model.serve.over_nodes and pool.resource != GPU:
        raise SettingsError(
            f"{key}.gpuPool: {model.gpu_pool!r} offers shares of GPUs, serve.nodes: {model.serve.nodes} are counted by "
            "whole ones; name a pool without share, or remove nodes"
        )
    if gpus > pool.most:
        limit = f"one share of a GPU (share.by: {pool.share.by})" if pool.share else f"{pool.gpus} a node"
        raise SettingsError(
            f"{key}.gpuPool: {model.gpu_pool!r} has {limit}, {model.recipe} asks for {gpus} GPUs; name a pool of "
            "larger types, or ask for fewer"
        )


def _require_other_server_fits(key: str, server: str, model: ModelSettings) -> None:
    if model.base is None:
        raise SettingsError(
            f"{key}.base: is missing; {model.recipe} is served by {server}, name that server's image by digest or tag"
        )
    if model.cached:
        raise SettingsError(
            f"{key}.cached: is for the project's own server alone; {model.recipe} is served by {server}, remove the key"
        )
    if model.scale and model.scale.by_series:
        raise SettingsError(
            f"{key}.scale: waiting and requests are series of {OWN_SERVER}, {model.recipe} is served by {server}; "
            "use cpu"
        )
    if model.rollout.by_controller:
        raise SettingsError(
            f"{key}.rollout.strategy: {model.rollout.strategy!r} is judged by the series and the golden set of "
            f"{OWN_SERVER}, {model.recipe} is served by {server}; use rolling"
        )


def _require_kserve_fits(key: str, path: Path, model: ModelSettings) -> None:
    server, nodes = server_of(path), model.serve.nodes
    if server not in BY_KSERVE:
        raise SettingsError(
            f"{key}.by: kserve runs {' and '.join(BY_KSERVE)} alone, {model.recipe} is served by {server}; write "
            "`runtime: {name: kserve}` in the recipe, or use by: stack"
        )
    if not model.serve.over_nodes:
        return
    if server != SHARED_BY_GPUS:
        raise SettingsError(
            f"{key}.nodes: {nodes} share the GPUs of {SHARED_BY_GPUS}, {model.recipe} is served by {server}; remove it"
        )
    gpus = gpus_of(path)
    if gpus % nodes:
        raise SettingsError(
            f"{key}.nodes: {nodes} does not divide the {gpus} GPUs of {model.recipe} (tensor_parallel times "
            "pipeline_parallel); change one of the two"
        )


def _said_in(recipe: Path) -> Mapping[str, Any]:
    # Asked for by each rule, of each model: read once, as long as the file is the same.
    return _parsed(recipe, recipe.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _parsed(recipe: Path, _written: int) -> Mapping[str, Any]:
    # What else is wrong with a recipe the provider says, with every key of it.
    try:
        found = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}
