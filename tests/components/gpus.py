"""A stack in AWS with pools of each engine, and models on them."""

from __future__ import annotations

import base64
import email
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.components.programs import Object, Run
from tests.components.test_aws import config
from tests.components.test_serving import BASE, NAMED, written
from tests.model_build.served import Case

RESERVED = "cr-0123456789abcdef0"
BOTTLEROCKET: Object = {"os": "bottlerocket", "release": "1.54.0-0123abcd"}
POOLS: dict[str, Object] = {
    "a10g": {
        "types": ["g5.xlarge", "g5.2xlarge"],
        "capacity": "spotFirst",
        "min": 1,
        "max": 6,
        "share": {"by": "timeSlicing", "replicas": 4},
        "localDisks": True,
        "parallelPull": True,
    },
    "h100": {
        "types": ["p5.48xlarge"],
        "min": 0,
        "max": 2,
        "share": {"by": "mig", "profile": "1g.10gb"},
        **BOTTLEROCKET,
    },
    "l4": {
        "engine": "karpenter",
        "types": ["g6.12xlarge", "g6.24xlarge"],
        "capacity": "spotFirst",
        "max": 3,
        "idleSeconds": 120,
        "localDisks": True,
        "parallelPull": True,
    },
    "l40s": {
        "engine": "karpenter",
        "types": ["g6e.xlarge"],
        "reservation": RESERVED,
        "share": {"by": "mps", "replicas": 3},
        "localDisks": True,
        "parallelPull": True,
        **BOTTLEROCKET,
    },
}
# Karpenter and EKS Auto Mode have the same definitions: one cluster has one of them.
T4: Object = {"engine": "auto", "types": ["g4dn.xlarge"], "capacity": "spot", "disk": 100}


# Settings that differ from those of the stack with a pool of each engine.
TURNS: Object = {
    "types": ["g6e.xlarge"],
    "share": {"by": "timeSlicing", "replicas": 2},
    "localDisks": True,
    "parallelPull": True,
    **BOTTLEROCKET,
}
OTHERS: dict[str, dict[str, Object]] = {
    "none": {},
    "managed": {
        "a10g": {**POOLS["a10g"], "share": {"by": "timeSlicing", "replicas": 5}},
        "plain": {"types": ["g5.xlarge"]},
        "turns": TURNS,
    },
    "karpenter": {"l4": POOLS["l4"]},
    "auto": {"t4": T4},
}
LABEL, TAINT = "modelstack.dev/gpu-pool", "nvidia.com/gpu"
Stacks = dict[str, Run]


def with_pools(pools: dict[str, Object] | None = None, models: Object | None = None, **others: Any) -> Object:
    """Return a configuration with pools; without models of its own that of the project's."""
    # One system node, so that a controller of two would wait for ever.
    system = {"min": 1} if pools else {}
    made = POOLS if pools is None else pools
    auto = {"autoMode": True} if any(one.get("engine") == "auto" for one in made.values()) else {}
    scaled = {"autoscaler": True} if any(one.get("min") == 0 for one in made.values()) else {}
    found = config({"gpuPools": made, "system": system, **auto, **scaled}, **others)
    return {**found, "models": models} if models else found


# Model → the pool that it runs on, and the row of the servers that serves it.
ON: dict[str, tuple[str, str]] = {
    "own": ("a10g", "onnxruntime-gpu"),
    "parts": ("h100", "triton-gpu"),
    "text": ("l4", "vllm"),
    "processes": ("l40s", "triton-gpu"),
    "canary": ("l4", "onnxruntime-gpu"),
}
ON_AUTO = {"auto": ("t4", "triton-gpu")}


def models_on_pools(folder: Path) -> Object:
    """Return a model for each pool; `canary` is rolled out as one."""
    found = _models(folder, ON)
    several = {name: {**found[name], "replicas": 2} for name in ("processes", "canary")}
    return {**found, **several, "canary": {**several["canary"], "rollout": {"strategy": "canary"}}}


def models_on_auto(folder: Path) -> Object:
    """Return a model for the pool of EKS Auto Mode."""
    return _models(folder, ON_AUTO)


def _models(folder: Path, on: Mapping[str, tuple[str, str]]) -> Object:
    return {name: _model(folder, name, pool, NAMED[row]) for name, (pool, row) in on.items()}


def _model(folder: Path, name: str, pool: str, case: Case) -> Object:
    base = {} if case.name.startswith("onnxruntime") else {"base": BASE}
    return {"recipe": recipe_of(folder, name, case), **base, "gpuPool": pool}


def recipe_of(folder: Path, name: str, case: Case) -> str:
    """Write the recipe of a model of that name; returns its path."""
    own = folder / name
    own.mkdir()
    recipe = Path(written(own, case))
    recipe.write_text(recipe.read_text().replace("name: digits", f"name: {name}"))
    return str(recipe)


def kinds(run: Run, kind: str) -> dict[str, Object]:
    """The custom objects of a kind, by name."""
    return {one.name: one.inputs for one in run.objects() if one.inputs.get("kind") == kind}


def told(template: Object) -> str:
    return base64.b64decode(template["userData"]).decode()


def node_config(text: str) -> Object:
    """What nodeadm reads of user data: every part of its type, as a MIME document."""
    parts = [one for one in email.message_from_string(text).walk() if not one.is_multipart()]
    (found,) = [one.get_payload() for one in parts if one.get_content_type() == "application/node.eks.aws"]
    return dict(yaml.safe_load(str(found)))


def urn(run: Run, ending: str) -> str:
    (found,) = [one for one in run.after if one.endswith(ending)]
    return found
