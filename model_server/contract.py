"""model.json: what a model's folder says about itself.

The builder writes it and the server reads it, so nothing heavy is imported here.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from model_server.errors import ConfigError, shown

CONTRACT_FILE = "model.json"
GOLDEN_FILE = "golden.npz"
PLATFORM = "onnxruntime_onnx"
MAX_CONTRACT_BYTES = 1 << 20
MAX_RANK = 8
MAX_TOKENS = 1 << 20
DATATYPES = (
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
)
TEXT = "BYTES"
# int8 kernels differ between CPUs by a quantum or so (1/255 of an output's range); a wrong file by far more.
RELATIVE = 0.02
ABSOLUTE = 1e-4
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]{0,63}")
INPUTS_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: -1 in `shape` is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, object]:
        """Return the tensor's metadata as the protocol writes it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class TokensSpec:
    """How a text becomes the graph's input [batch, tokens]: a tokenizer.json, and the most tokens a text keeps."""

    file: Path
    most: int
    input: str


@dataclass(frozen=True, slots=True)
class ModelContract:
    """A model's folder, read and checked; `file`, `golden` and the tokenizer lie inside it."""

    name: str
    version: str
    platform: str
    folder: Path
    file: Path
    golden: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    inputs_hash: str = ""
    tokens: TokensSpec | None = None

    @property
    def graph_inputs(self) -> tuple[TensorSpec, ...]:
        """What the graph takes: token ids where the model takes text, else what a request brings."""
        return self.inputs if self.tokens is None else (TensorSpec(self.tokens.input, "INT64", (-1, -1)),)


def load(folder: Path) -> ModelContract:
    """Read `folder`'s model.json; raises ConfigError."""
    path = folder / CONTRACT_FILE
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONTRACT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); make it readable for the server") from error
    if len(raw) > MAX_CONTRACT_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_CONTRACT_BYTES} bytes; this is not a {CONTRACT_FILE}")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON ({error}); bake the image again") from error
    return parse(document, folder)


def parse(document: object, folder: Path) -> ModelContract:
    """Return the contract in `document` for the model in `folder`; raises ConfigError."""
    where = str(folder / CONTRACT_FILE)
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: {shown(document)} is not an object; bake the image again")
    fields = cast("dict[str, object]", document)
    platform = _text(where, fields, "platform")
    if platform != PLATFORM:
        raise ConfigError(f"{where}: platform: {shown(platform)} is not served; the one platform is {PLATFORM!r}")
    inputs = _tensors(where, fields, "inputs")
    outputs = _tensors(where, fields, "outputs")
    tokens = _tokens(where, fields, folder)
    _check_text(where, inputs, outputs, tokens)
    return ModelContract(
        name=_matching(where, fields, "name", NAME, "a lower-case label of at most 63 letters, digits and '-'"),
        version=_matching(where, fields, "version", VERSION, "at most 64 letters, digits, '.', '_' and '-'"),
        platform=platform,
        folder=folder,
        file=_inside(where, "file", folder, _text(where, fields, "file")),
        golden=_inside(where, "golden set", folder, GOLDEN_FILE),
        inputs=inputs,
        outputs=outputs,
        labels=_labels(where, fields, outputs),
        inputs_hash=_inputs_hash(where, fields),
        tokens=tokens,
    )


def _text(where: str, fields: dict[str, object], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: {key}: {shown(value)} is not a text of at least one character; write one")
    return value


def _matching(where: str, fields: dict[str, object], key: str, pattern: re.Pattern[str], rule: str) -> str:
    value = _text(where, fields, key)
    if not pattern.fullmatch(value):
        raise ConfigError(f"{where}: {key}: {shown(value)} is not {rule}; rename it")
    return value


def _inputs_hash(where: str, fields: dict[str, object]) -> str:
    if "inputs_hash" not in fields:
        return ""
    return _matching(where, fields, "inputs_hash", INPUTS_HASH, "64 lower-case hex digits")


def _inside(where: str, key: str, folder: Path, name: str) -> Path:
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in name:
        raise ConfigError(f"{where}: {key}: {shown(name)} leaves the model's folder; name a file inside it")
    path = folder / relative
    # A link may point elsewhere in the same folder (a mounted ConfigMap does), never out of it.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{where}: {key}: {shown(name)} is a link out of the model's folder; copy the file into it")
    if not path.is_file():
        raise ConfigError(f"{where}: {key}: {shown(name)} is not a file in the model's folder; bake the image again")
    return path


def _tensors(where: str, fields: dict[str, object], key: str) -> tuple[TensorSpec, ...]:
    value = fields.get(key)
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: {key}: {shown(value)} is not a list of at least one tensor; bake the image again")
    specs = tuple(_tensor(where, f"{key}[{at}]", one) for at, one in enumerate(value))
    names = [spec.name for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{where}: {key}: {twice!r} is named twice; give each tensor a name of its own")
    return specs


def _tensor(where: str, key: str, value: object) -> TensorSpec:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key}: {shown(value)} is not an object; write name, datatype and shape")
    name, datatype, shape = value.get("name"), value.get("datatype"), value.get("shape")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}: {key}.name: {shown(name)} is not a text of at least one character; write one")
    if datatype not in (*DATATYPES, TEXT):
        raise ConfigError(f"{where}: {key}.datatype: {shown(datatype)} is not served; use {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_RANK or not all(_is_dimension(one) for one in shape):
        raise ConfigError(
            f"{where}: {key}.shape: {shown(shape)} is not a list of 1 to {MAX_RANK} whole numbers, "
            "the batch first, each 1 or more, or -1 for any length; correct it"
        )
    return TensorSpec(name, datatype, tuple(shape))


def _tokens(where: str, fields: dict[str, object], folder: Path) -> TokensSpec | None:
    value = fields.get("tokens")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: tokens: {shown(value)} is not an object; write file, most and input")
    most = value.get("most")
    if type(most) is not int or not 1 <= most <= MAX_TOKENS:
        raise ConfigError(f"{where}: tokens.most: {shown(most)} is not a whole number from 1 to {MAX_TOKENS}")
    file = _inside(where, "tokens.file", folder, _text(f"{where}: tokens", value, "file"))
    return TokensSpec(file, most, _text(f"{where}: tokens", value, "input"))


def _check_text(
    where: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], tokens: TokensSpec | None
) -> None:
    """Refuse text without a tokenizer, a tokenizer without text, and text as an answer."""
    texts = [spec for spec in inputs if spec.datatype == TEXT]
    if tokens is None and not texts and all(spec.datatype != TEXT for spec in outputs):
        return
    if tokens is None or len(inputs) != 1 or not texts or inputs[0].shape != (-1,):
        raise ConfigError(
            f"{where}: inputs: text ({TEXT}) and tokens come together, as the one input of shape [-1]; bake it again"
        )
    if any(spec.datatype == TEXT for spec in outputs):
        raise ConfigError(f"{where}: outputs: {TEXT} is not served; use {', '.join(DATATYPES)}")


def _is_dimension(value: object) -> bool:
    return type(value) is int and (value == -1 or value >= 1)


def _labels(where: str, fields: dict[str, object], outputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    value = fields.get("labels")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{where}: labels: {shown(value)} is not a list of texts; write one a class")
    classes = outputs[0].shape[-1] if outputs[0].shape else -1
    if classes not in (-1, len(value)):
        raise ConfigError(f"{where}: labels: {len(value)} labels, but {outputs[0].name!r} has {classes} classes")
    return tuple(value)
