"""`python -m ops size`: the smallest instance of AWS with GPUs that a model fits on, and how many of its GPUs.

Of a model that a recipe serves by vLLM, or of a folder in Hugging Face's layout, everything is read from there; of
another one `--parameters` and `--dtype` say it. With `--prices` the cheapest that it fits on comes first.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cost import prices
from cost.sizing import BYTES, CAPABILITY, GIB, MIB, USED, Demand, Fit, Shape, fitting
from model_build import recipe as recipes
from model_build.errors import RecipeError
from model_build.recipe_runtimes import Vllm
from ops import weights
from settings import SettingsError
from settings.gpus import FAMILIES

DONE, FAILED, NONE_FITS = 0, 1, 3
UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
SHOWN = 5


@dataclass(frozen=True)
class Asked:
    """A model to find room for, and how many GPUs share it where that is said already."""

    name: str
    demand: Demand
    gpus: int | None
    notes: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "model", nargs="?", help="a model of models/, a recipe, or a folder with config.json and safetensors"
    )
    parser.add_argument("--parameters", type=_number, metavar="N", help="as 8B or 350M, of a model that is not here")
    parser.add_argument("--dtype", choices=tuple(BYTES), help="of the weights; default: what the model says, or bf16")
    parser.add_argument(
        "--batch", type=_positive, default=1, metavar="N", help="sequences or samples at once; default: 1"
    )
    parser.add_argument(
        "--context",
        type=_positive,
        metavar="N",
        help="tokens of a sequence, prompt and answer, that the KV cache holds",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.json of the model of --parameters")
    parser.add_argument(
        "--kv-heads", type=_positive, metavar="N", help="heads that the KV cache holds of the model of --parameters"
    )
    parser.add_argument(
        "--tensor-parallel", type=_positive, metavar="N", help="GPUs that share the model; default: fewest"
    )
    parser.add_argument(
        "--pipeline-parallel", type=_positive, metavar="N", help="stages of layers, each on GPUs of its own; default: 1"
    )
    parser.add_argument(
        "--sample", type=float, default=0.0, metavar="MIB", help="activations of a sample, of what is no transformer"
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="what `ops prices update` wrote")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    parser.epilog = "Exit codes: 0 found, 1 what is named cannot be read, 2 usage, 3 it fits on no instance."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 where something cannot be read, 3 where the model fits nowhere."""
    try:
        asked = _asked(arguments)
        known = prices.read(arguments.prices) if arguments.prices else None
    except (SettingsError, RecipeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    found = fitting(asked.demand, asked.gpus, known.instances if known else {})
    currency = known.currency if known else ""
    if arguments.json:
        print(json.dumps(_values(asked, found, currency)))
    else:
        print("\n".join(_lines(asked, found, currency)))
    return DONE if found else NONE_FITS


def _asked(arguments: argparse.Namespace) -> Asked:
    """Return what is asked for; raises SettingsError, RecipeError."""
    if (arguments.model is None) == (arguments.parameters is None):
        raise SettingsError("MODEL: is what a model is read from, --parameters says it instead; give one of the two")
    if arguments.parameters is not None:
        return _by_parameters(arguments)
    path = Path(arguments.model)
    if (path / "config.json").is_file():
        return _of_folder(arguments, path)
    recipe = path if path.is_file() else Path("models") / arguments.model / "recipe.yaml"
    parsed = recipes.load(recipe)
    load = parsed.steps[0].load if parsed.steps else None
    if not isinstance(parsed.runtime, Vllm) or load is None or load.file is None:
        raise SettingsError(f"{recipe}: its weights are not known before a build; give --parameters and --dtype")
    return _of_folder(arguments, recipe.parent / load.file, parsed.runtime)


def _of_folder(arguments: argparse.Namespace, folder: Path, runtime: Vllm | None = None) -> Asked:
    found = weights.read(folder)
    said = weights.DTYPES.get(runtime.dtype) if runtime else None
    dtype = arguments.dtype or said or found.dtype
    context = arguments.context or (runtime.max_model_len if runtime else None) or found.context
    demand = Demand(
        # As it is stored, packed integers too, unless something else is asked for.
        size=found.parameters * BYTES[dtype] if arguments.dtype or said else found.size,
        dtype=dtype,
        batch=arguments.batch,
        context=context,
        shape=found.shape,
        stages=arguments.pipeline_parallel or (runtime.pipeline_parallel if runtime else 1),
    )
    # A recipe of one GPU may as well leave open how many there are; one of several says it.
    gpus = arguments.tensor_parallel or (runtime.tensor_parallel if runtime and runtime.gpus > 1 else None)
    return Asked(folder.name, demand, gpus, _notes(demand))


def _by_parameters(arguments: argparse.Namespace) -> Asked:
    dtype = arguments.dtype or "bf16"
    demand = Demand(
        arguments.parameters * BYTES[dtype],
        dtype,
        arguments.batch,
        sample=arguments.sample * MIB,
        stages=arguments.pipeline_parallel or 1,
    )
    name = f"{arguments.parameters / 1e9:g}B parameters"
    notes = list(_notes(demand))
    if arguments.config:
        demand = replace(demand, shape=weights.read_shape(arguments.config))
    elif not arguments.sample:
        demand = replace(demand, shape=Shape.of_parameters(arguments.parameters, arguments.kv_heads))
        if arguments.context and not arguments.kv_heads:
            notes.append(
                "every head with keys and values of its own, the most that it can be; give --kv-heads or --config"
            )
    if demand.shape and not arguments.context:
        notes.append("without a KV cache; give --context, the tokens of a sequence")
    return Asked(name, replace(demand, context=arguments.context or 0), arguments.tensor_parallel, tuple(notes))


def _notes(demand: Demand) -> tuple[str, ...]:
    least = CAPABILITY.get(demand.dtype)
    known = FAMILIES.values()
    left_out = list(dict.fromkeys(one.gpu for one in known if least is not None and one.capability < least))
    if not left_out:
        return ()
    return (f"without {', '.join(left_out)}: {demand.dtype} needs compute capability {least:g}",)


def _values(asked: Asked, found: list[Fit], currency: str) -> dict[str, Any]:
    demand = asked.demand
    whole = replace(demand, stages=1)
    parts = {"weights": whole.weights(), "kvCache": whole.cache(), "activations": whole.activations()}
    return {
        "model": asked.name,
        "dtype": demand.dtype,
        "batch": demand.batch,
        "context": demand.context,
        "bytes": {key: round(value) for key, value in parts.items()},
        "notes": list(asked.notes),
        "currency": currency,
        "fits": [
            {
                "instance": one.instance.name,
                "gpu": one.instance.family.gpu,
                "gpus": one.instance.gpus,
                "tensorParallel": one.gpus,
                "pipelineParallel": demand.stages,
                "bytesEach": round(one.bytes),
                "hour": one.hour,
            }
            for one in found
        ],
    }


def _lines(asked: Asked, found: list[Fit], currency: str) -> list[str]:
    demand = asked.demand
    sequences = f"{demand.batch} at once" + (f" of {demand.context} tokens" if demand.context else "")
    whole = replace(demand, stages=1)
    parts = {"weights": whole.weights(), "KV cache": whole.cache(), "activations": whole.activations()}
    told = ", ".join(f"{name} {value / GIB:.1f} GiB" for name, value in parts.items() if value)
    lines = [f"{asked.name} in {demand.dtype}, {sequences}: {told}", *(f"  {one}" for one in asked.notes)]
    if not found:
        return [
            *lines,
            "fits on no instance; take a smaller dtype, batch or context, or several nodes (docs/runtimes.md)",
        ]
    return [*lines, *(_line(one, demand.stages, currency) for one in found[:SHOWN])]


def _line(one: Fit, stages: int, currency: str) -> str:
    instance = one.instance
    room = instance.family.memory * MIB * USED
    price = "" if one.hour is None else f", {one.hour:.2f} {currency} an hour"
    shared = (
        f"{one.gpus * stages} of its {instance.gpus} {instance.family.gpu}"
        if instance.gpus > 1
        else f"its {instance.family.gpu}"
    )
    return f"{instance.name}: {shared}, {one.bytes / GIB:.1f} of {room / GIB:.1f} GiB each{price}"


def _number(text: str) -> float:
    """Return a number as 8B, 350M or 7000000000."""
    unit = UNITS.get(text[-1:].upper())
    try:
        found = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 1e15:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of parameters; write it as 8B or 350M")
    return found


def _positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 10000000; correct it")
    return int(text)
