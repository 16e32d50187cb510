"""A folder in Hugging Face's layout: its config.json, and the headers of its safetensors, of which no tensor is opened.

Read without the library of that name, which the build environment alone has: `ops size` reads them too.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "config.json"
LONGEST_HEADER = 100 * 2**20
# Bits of a number, as https://docs.rs/safetensors/latest/safetensors/tensor/enum.Dtype.html has them.
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F16": 16, "BF16": 16, "U16": 16, "I16": 16}
BITS |= {"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F32": 32, "U32": 32, "I32": 32, "F64": 64, "U64": 64, "I64": 64}


class LayoutError(Exception):
    """A file or folder is not as the layout has it."""

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        super().__init__(f"{path.name}: {what}; {remedy}")
        self.path = path
        self.told = f"{path}: {what}; {remedy}"
        """The same with the whole path."""


@dataclass(frozen=True)
class Tensor:
    """A tensor, as a header tells of it."""

    name: str
    numbers: int
    size: int
    """Bytes."""


def json_object(path: Path) -> dict[str, Any]:
    """Return what a file of JSON holds; raises LayoutError."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LayoutError(path, f"cannot be read ({error})", "copy it beside the weights") from error
    if not isinstance(found, dict):
        raise LayoutError(path, "is no JSON object", "copy it again")
    return found


def said(config: Mapping[str, Any], key: str) -> Any:
    """Return a value; a model of texts and images has those of its texts below `text_config`."""
    found, inner = config.get(key), config.get("text_config")
    return inner.get(key) if found is None and isinstance(inner, Mapping) else found


def tensors(file: Path) -> list[Tensor]:
    """Return the tensors of a file; raises LayoutError where they do not fill it as its header says.

    The format: https://huggingface.co/docs/safetensors/index#format.
    """
    try:
        header, room = _header(file)
        told = [(name, one) for name, one in header.items() if name != "__metadata__"]
        found = sorted(((one["data_offsets"], name, one) for name, one in told), key=lambda one: one[0])
        _require_full([offsets for offsets, _, _ in found], room)
        return [_tensor(name, one) for _, name, one in found]
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LayoutError(file, f"is no sound safetensors file ({error})", "copy it again") from error


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """Return the header, and how many bytes come after it."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > LONGEST_HEADER:
            raise ValueError(f"its header is {length} bytes long")
        return json.loads(opened.read(length)), file.stat().st_size - 8 - length


def _require_full(offsets: list[list[int]], room: int) -> None:
    end = 0
    for begin, until in offsets:
        if begin != end or until < begin:
            raise ValueError(f"a tensor begins at {begin}, the one before it ends at {end}")
        end = until
    if end != room:
        raise ValueError(f"it has {room} bytes of tensors, its header tells of {end}")


def _tensor(name: str, told: Mapping[str, Any]) -> Tensor:
    numbers, (begin, end) = math.prod(told["shape"]), told["data_offsets"]
    bits = BITS.get(told["dtype"])
    if bits is not None and numbers * bits != (end - begin) * 8:
        raise ValueError(f"{name} of {numbers} {told['dtype']} has {end - begin} bytes")
    return Tensor(name, numbers, end - begin)
