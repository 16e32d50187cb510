"""How large a model in Hugging Face's layout is, from its config.json and the headers of its safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost.sizing import Shape
from model_build.huggingface import CONFIG, LayoutError, json_object, said, tensors
from settings.base import SettingsError

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


@dataclass(frozen=True)
class Weights:
    """A folder of weights."""

    parameters: int
    """Numbers that are stored; of packed integers there are more in the model."""
    size: int
    """Bytes."""
    dtype: str
    context: int
    """Tokens that the model was made for; 0 where it does not say."""
    shape: Shape


def read(folder: Path) -> Weights:
    """Return what a folder holds; raises SettingsError where it is none of Hugging Face's."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SettingsError(f"{folder}: has no .safetensors file; save the model by save_pretrained")
    try:
        config = json_object(folder / CONFIG)
        found = [one for file in files for one in tensors(file)]
    except LayoutError as error:
        raise SettingsError(error.told) from None
    return Weights(
        parameters=sum(one.numbers for one in found),
        size=sum(one.size for one in found),
        dtype=_dtype(folder, config),
        context=int(said(config, "max_position_embeddings") or 0),
        shape=shape(config, folder / CONFIG),
    )


def read_shape(path: Path) -> Shape:
    """Return the shape that a config.json tells; raises SettingsError."""
    try:
        return shape(json_object(path), path)
    except LayoutError as error:
        raise SettingsError(error.told) from None


def shape(config: Mapping[str, Any], path: Path) -> Shape:
    """Return the shape in a configuration; raises SettingsError where it tells none."""
    values = {key: said(config, key) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads")}
    for key, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise SettingsError(f"{path}: {key}: {value!r} is no number of layers, heads or their size; correct it")
    layers, hidden, heads = values.values()
    return Shape(
        layers=layers,
        hidden=hidden,
        kv_heads=said(config, "num_key_value_heads") or heads,
        head_size=said(config, "head_dim") or hidden // heads,
        heads=heads,
    )


def _dtype(folder: Path, config: Mapping[str, Any]) -> str:
    found = str(said(config, "dtype") or said(config, "torch_dtype") or "float16")
    if found not in DTYPES:
        raise SettingsError(f"{folder / CONFIG}: dtype: {found!r} is none of {', '.join(DTYPES)}; give --dtype")
    return DTYPES[found]
