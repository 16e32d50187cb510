"""Inference requests that are wrong in one or a few places, made from right ones; a seed makes the same ones again."""

import gzip
import json
import struct
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

LENGTH, ENCODING = "inference-header-content-length", "content-encoding"
TEXTS = b"".join(struct.pack("<I", len(one)) + one for one in (b"one two", "grün".encode()))
TENSORS: dict[str, list[dict[str, Any]]] = {
    "linear": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [[0.25, -1, 3.5, 2], [1, 2, 3, 4]]}],
    "pair": [{"name": one, "datatype": "FP32", "shape": [1, 2], "data": [1, 2]} for one in ("a", "b")],
    "identity-int8": [{"name": "x", "datatype": "INT8", "shape": [1, 2], "data": [-128, 127]}],
    "identity-bool": [{"name": "x", "datatype": "BOOL", "shape": [1, 2], "data": [True, False]}],
    "text": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["one two", "grün"]}],
}
BYTES = {"linear": bytes(32), "pair": bytes(16), "identity-int8": b"\x80\x7f", "identity-bool": b"\1\0", "text": TEXTS}
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 255, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320, "", "x", "\0",
    "é" * 300, "\ud7ff\U0010ffff", [], {}, [[]], [{}], [1], [[1], 2], {"a": {"b": []}}, {"name": 1}, "BYTES", "FP16",
    "-1", "NaN",
]  # fmt: skip
KEYS = ("name", "shape", "data", "datatype", "inputs", "outputs", "id", "parameters", "binary_data_size", "binary_data")


@dataclass(frozen=True)
class Bad:
    """A request to `model`; most are wrong."""

    model: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def header_length(self) -> int | None:
        """The length of the JSON as it is told, or None."""
        return int(self.headers[LENGTH]) if LENGTH in self.headers else None


def bad(random: Random) -> Bad:
    """Return the next request."""
    model = random.choice(list(TENSORS))
    return random.choice(KINDS)(random, model)


def _document(random: Random, model: str) -> dict[str, Any]:
    document: dict[str, Any] = {"id": "7", "inputs": deepcopy(TENSORS[model])}
    if random.random() < 0.5:
        document["parameters"] = {"binary_data_output": random.random() < 0.5}
    return document


def _with_bytes(random: Random, model: str) -> dict[str, Any]:
    document = _document(random, model)
    for tensor in document["inputs"]:
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(BYTES[model]) // len(document["inputs"])}
    return document


def _spoilt(random: Random, document: Any) -> Any:
    """Return `document` with one to three of its values replaced, removed or added."""
    for _ in range(random.randint(1, 3)):
        places = list(_places(document))
        if not places:
            break
        holder, key = random.choice(places)
        way = random.random()
        if way < 0.7:
            holder[key] = deepcopy(random.choice(ODD))
        elif way < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            holder[random.choice(KEYS)] = deepcopy(random.choice(ODD))
        else:
            holder.insert(key, deepcopy(random.choice(ODD)))
    return document


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _torn(random: Random, body: bytes) -> bytes:
    """Return `body` with bytes turned over, cut out, doubled or cut off."""
    torn = bytearray(body)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(torn) + 1)
        way = random.randrange(4)
        if way == 0 and at < len(torn):
            torn[at] = random.randrange(256)
        elif way == 1:
            del torn[at : at + random.randint(1, 8)]
        elif way == 2:
            torn[at:at] = torn[at : at + random.randint(1, 8)]
        else:
            del torn[at:]
    return bytes(torn)


def _wrong_json(random: Random, model: str) -> Bad:
    return Bad(model, _text(_spoilt(random, _document(random, model))))


def _torn_json(random: Random, model: str) -> Bad:
    return Bad(model, _torn(random, _text(_document(random, model))))


def _wrong_header(random: Random, model: str) -> Bad:
    header = _text(_spoilt(random, _with_bytes(random, model)))
    return Bad(model, header + BYTES[model], {LENGTH: str(len(header))})


def _torn_bytes(random: Random, model: str) -> Bad:
    header = _text(_with_bytes(random, model))
    return Bad(model, header + _torn(random, BYTES[model]), {LENGTH: str(len(header))})


def _wrong_length(random: Random, model: str) -> Bad:
    body = _text(_with_bytes(random, model)) + BYTES[model]
    return Bad(model, body, {LENGTH: str(random.choice([0, 1, len(body), random.randrange(len(body) + 1)]))})


def _noise(random: Random, model: str) -> Bad:
    headers = {LENGTH: "0"} if random.random() < 0.5 else {}
    return Bad(model, random.randbytes(random.randrange(200)), headers)


def _torn_gzip(random: Random, model: str) -> Bad:
    packed = gzip.compress(_text(_document(random, model)), 1)
    return Bad(model, _torn(random, packed), {ENCODING: "gzip"})


def _text(document: Any) -> bytes:
    return json.dumps(document).encode(errors="surrogatepass")


# Plain ones first: what is packed is unpacked before any decoder sees it.
DECODED: list[Callable[[Random, str], Bad]] = [
    _wrong_json, _torn_json, _wrong_header, _torn_bytes, _wrong_length, _noise,
]  # fmt: skip
KINDS: list[Callable[[Random, str], Bad]] = [*DECODED, _torn_gzip]
