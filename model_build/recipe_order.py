"""The order that the steps of a recipe may stand in."""

import re
from collections.abc import Mapping, Sequence

from model_build.recipe_steps import FIXED_GRAPH, GRAPH, Step

RESHAPED = r"((prune|distill|separable distill) )*"
# What may follow each kind of source: a fixed graph of torch has no layers to work on, an ONNX graph needs no export.
OF_STEPS = {
    "torch": re.compile(rf"(train|load) {RESHAPED}export (quantize )?"),
    "fixed": re.compile(r"load export (quantize )?"),
    "onnx": re.compile(r"load (quantize )?"),
    "weights": re.compile(r"load "),
}
OF_SEARCH = {
    "torch": re.compile(r"(train|load) export "),
    "fixed": re.compile(r"load export "),
    "onnx": re.compile(r"load "),
}
OF_CANDIDATE = {
    "torch": re.compile(rf"{RESHAPED}(quantize )?"),
    "fixed": re.compile(r"quantize "),
    "onnx": re.compile(r"quantize "),
}
WANTED = {
    "torch": "train or load, then prune, distill or separable followed by distill, export, quantize",
    "fixed": "load, export, quantize: {} has no layers for another step to change; give it as a state_dict for that",
    "onnx": "load, quantize: {} needs no export, and has no layers for another step to change",
    "weights": "load alone: {} is served as it is",
}


def kind_of(steps: Sequence[Step]) -> str:
    """Return what the first step makes: a model of torch, a fixed graph of torch, onnx, or weights as they are."""
    load = steps[0].load
    if load is None:
        return "torch"
    if load.format == "huggingface":
        return "weights"
    return "fixed" if load.format in FIXED_GRAPH else "onnx" if load.format in GRAPH else "torch"


def require(steps: Sequence[Step]) -> None:
    """Raise ValueError where the steps of a recipe without a search stand in no order that makes an artifact."""
    kind = kind_of(steps)
    _require(steps, OF_STEPS[kind], "steps ", _wanted(kind, steps))
    _require_layers(kind, steps, "steps ")


def require_search(steps: Sequence[Step], candidates: Mapping[str, tuple[Step, ...]]) -> None:
    """Raise ValueError where steps or candidates of a recipe with a search stand in no such order."""
    kind = kind_of(steps)
    if kind == "weights":
        raise ValueError("has a search, which has nothing to choose in weights served as they are; remove it")
    beside = "load" if kind == "onnx" else "train or load, export"
    _require(steps, OF_SEARCH[kind], "steps beside search ", beside)
    for name, own in candidates.items():
        wanted = "prune, distill or separable followed by distill, quantize" if kind == "torch" else "quantize"
        _require(own, OF_CANDIDATE[kind], f"search.candidates: those of {name!r} ", wanted)
        _require_layers(kind, own, f"search.candidates: those of {name!r} ")


def _require_layers(kind: str, steps: Sequence[Step], whose: str) -> None:
    """Quantization-aware training works on a model of torch as pruning does."""
    if kind != "torch" and any(step.quantize and step.quantize.method == "qat-int8" for step in steps):
        raise ValueError(
            f"{whose}have qat-int8, which trains a model's layers; give the source as a state_dict for that"
        )


def _wanted(kind: str, steps: Sequence[Step]) -> str:
    load = steps[0].load
    return WANTED[kind].format(load.format if load else "")


def _require(steps: Sequence[Step], order: re.Pattern[str], whose: str, wanted: str) -> None:
    names = [step.name for step in steps]
    if not order.fullmatch("".join(f"{name} " for name in names)):
        raise ValueError(f"{whose}are in the order {', '.join(names)}; write {wanted}")
