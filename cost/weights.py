"""How large a model in Hugging Face's layout is, from its config.json and the headers of its safetensors."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost.sizing import Shape
from settings.base import SettingsError

LONGEST_HEADER = 100 * 2**20
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
    config = _object(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SettingsError(f"{folder}: has no .safetensors file; save the model by save_pretrained")
    found = [one for file in files for one in _tensors(file)]
    return Weights(
        parameters=sum(number for number, _ in found),
        size=sum(size for _, size in found),
        dtype=_dtype(folder, config),
        context=int(_of(config, "max_position_embeddings") or 0),
        shape=shape(config, folder / "config.json"),
    )


def read_shape(path: Path) -> Shape:
    """Return the shape that a config.json tells; raises SettingsError."""
    return shape(_object(path), path)


def shape(config: Mapping[str, Any], path: Path) -> Shape:
    """Return the shape in a configuration; raises SettingsError where it tells none."""
    values = {key: _of(config, key) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads")}
    for key, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise SettingsError(f"{path}: {key}: {value!r} is no number of layers, heads or their size; correct it")
    layers, hidden, heads = values.values()
    return Shape(
        layers=layers,
        hidden=hidden,
        kv_heads=_of(config, "num_key_value_heads") or heads,
        head_size=_of(config, "head_dim") or hidden // heads,
        heads=heads,
    )


def _of(config: Mapping[str, Any], key: str) -> Any:
    """Return a value; a model of texts and images has those of its texts below `text_config`."""
    inner = config.get("text_config")
    return config.get(key) or (inner.get(key) if isinstance(inner, Mapping) else None)


def _dtype(folder: Path, config: Mapping[str, Any]) -> str:
    said = str(_of(config, "dtype") or _of(config, "torch_dtype") or "float16")
    if said not in DTYPES:
        raise SettingsError(f"{folder / 'config.json'}: dtype: {said!r} is none of {', '.join(DTYPES)}; give --dtype")
    return DTYPES[said]


def _tensors(file: Path) -> list[tuple[int, int]]:
    """Return the number of elements and bytes of each tensor, from the header alone.

    The format: https://huggingface.co/docs/safetensors/index#format.
    """
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > LONGEST_HEADER:
                raise ValueError(f"its header is {length} bytes long")
            header = json.loads(opened.read(length))
        told = [one for name, one in header.items() if name != "__metadata__"]
        return [(math.prod(one["shape"]), one["data_offsets"][1] - one["data_offsets"][0]) for one in told]
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{file}: is no sound safetensors file ({error}); copy it again") from None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); name a folder of Hugging Face's layout") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: is no JSON object; copy it again")
    return found
