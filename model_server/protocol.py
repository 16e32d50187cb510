"""Open Inference Protocol v2: requests checked and parsed, responses written, in JSON and with tensors as bytes.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md;
for bytes see model_server/binary.py.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from model_server import binary
from model_server.contract import DATATYPES, TEXT, ModelContract, TensorSpec
from model_server.errors import RequestError, shown
from model_server.tensors import Array, check_shape, to_array, to_flat

MAX_ID = 256
MAX_IDS = 1 << 20  # token ids that the texts of one request may become
EXTENSIONS = ("binary_tensor_data", "model_repository(index)")
_SIZE, _WANTED, _ALL_WANTED = "binary_data_size", "binary_data", "binary_data_output"
_NONE: dict[str, Any] = {}
_DATATYPES = frozenset((*DATATYPES, TEXT))


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A checked request: arrays by input name, the outputs asked for in their order, and which of them as bytes."""

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[TensorSpec, ...]
    as_bytes: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A response's body; `header_length` is that of its JSON where bytes of tensors follow."""

    body: bytes
    header_length: int | None = None


def parse_infer(contract: ModelContract, body: bytes, header_length: int | None = None) -> InferRequest:
    """Return the request in `body`, checked against the model's contract; raises RequestError.

    `header_length` is that of the JSON where bytes of tensors follow it; 0 where there is none.
    """
    if header_length is None:
        return parse_document(contract, _document(body), memoryview(b""))
    if header_length == 0:
        document, body = binary.implied(contract, body)
    else:
        document = _document(body[:header_length])
    return parse_document(contract, document, memoryview(body)[header_length:])


def parse_document(contract: ModelContract, document: dict[str, Any], raw: memoryview) -> InferRequest:
    """Return the request that `document` is, with the bytes of its tensors in `raw`; raises RequestError."""
    inputs = _inputs(contract, document, raw)
    outputs, as_bytes = _outputs(contract, document)
    return InferRequest(_id(document), inputs, outputs, as_bytes)


def infer_response(contract: ModelContract, request: InferRequest, arrays: list[Array]) -> Written:
    """Return the response; raises RequestError where an output cannot be written as JSON."""
    response: dict[str, object] = {"model_name": contract.name, "model_version": contract.version}
    if request.id is not None:
        response["id"] = request.id
    if request.as_bytes:
        return _with_bytes(response, request, arrays)
    response["outputs"] = [_as_json(spec, array) for spec, array in zip(request.outputs, arrays, strict=True)]
    return Written(orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY))


def model_metadata(contract: ModelContract, versions: list[str]) -> dict[str, object]:
    """Return the metadata of a model; `labels` names the classes where the model has them."""
    metadata: dict[str, object] = {
        "name": contract.name,
        "versions": versions,
        "platform": contract.platform,
        "inputs": [spec.as_json() for spec in contract.inputs],
        "outputs": [spec.as_json() for spec in contract.outputs],
    }
    if contract.labels:
        metadata["labels"] = list(contract.labels)
    return metadata


def index_request(body: bytes) -> bool:
    """Return whether the models that are ready are asked for alone; raises RequestError."""
    return _switch("the request", _document(body) if body else {}, "ready", default=False)


def _as_json(spec: TensorSpec, array: Array) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": array.shape, "data": to_flat(spec, array)}


def _with_bytes(response: dict[str, object], request: InferRequest, arrays: list[Array]) -> Written:
    outputs, parts = [], []
    for spec, array, as_bytes in zip(request.outputs, arrays, request.as_bytes, strict=True):
        if not as_bytes:
            outputs.append(_as_json(spec, array))
            continue
        parts.append(binary.encode(array))
        told = {"name": spec.name, "datatype": spec.datatype, "shape": array.shape}
        outputs.append({**told, "parameters": {_SIZE: len(parts[-1])}})
    response["outputs"] = outputs
    header = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return Written(b"".join((header, *parts)), len(header))


def _document(header: bytes) -> dict[str, Any]:
    try:
        # orjson refuses NaN, Infinity, numbers beyond a double and nesting deeper than 1024 levels.
        document = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from error
    if type(document) is not dict:
        raise RequestError(400, "the body is not a JSON object; send {'inputs': [...]}")
    return document


def _id(document: dict[str, Any]) -> str | None:
    value = document.get("id")
    if value is None or (type(value) is str and len(value) <= MAX_ID):
        return value
    raise RequestError(400, f"id: {shown(value)} is not a text of at most {MAX_ID} characters")


def _parameters(where: str, holder: dict[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return _NONE
    if type(parameters) is not dict:
        raise RequestError(400, f"{where}: parameters: {shown(parameters)} is not an object")
    for key, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            raise RequestError(400, f"{where}: parameters: {shown(key)} is not a text, a number or a boolean")
    return parameters


def _switch(where: str, parameters: dict[str, Any], key: str, *, default: bool) -> bool:
    value = parameters.get(key, default)
    if type(value) is not bool:
        raise RequestError(400, f"{where}: {key}: {shown(value)} is neither true nor false")
    return value


def _named(document: dict[str, Any], key: str, specs: tuple[TensorSpec, ...]) -> list[tuple[TensorSpec, Any]]:
    """Return the tensors of `inputs` or `outputs`, each with what the contract says of it."""
    value = document.get(key)
    if type(value) is not list or not value:
        raise RequestError(400, f"{key}: {shown(value)} is not a list of at least one tensor")
    found = [(_known(key, specs, one, at), one) for at, one in enumerate(value)]
    if len(found) > 1 and len({id(spec) for spec, _ in found}) != len(found):
        raise RequestError(400, f"{key}: a tensor is named twice")
    return found


def _known(key: str, specs: tuple[TensorSpec, ...], tensor: object, at: int) -> TensorSpec:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    for spec in specs:
        if spec.name == name:
            return spec
    if not isinstance(name, str):
        raise RequestError(400, f"{key}[{at}]: not an object with a name")
    names = ", ".join(spec.name for spec in specs)
    raise RequestError(400, f"{key}: {shown(name)} is not one of the model's: {names}")


def _inputs(contract: ModelContract, document: dict[str, Any], raw: memoryview) -> dict[str, Array]:
    if document.get("parameters") is not None:
        _parameters("the request", document)
    tensors = _named(document, "inputs", contract.inputs)
    if len(tensors) < len(contract.inputs):
        sent = {spec.name for spec, _ in tensors}
        missing = next(spec.name for spec in contract.inputs if spec.name not in sent)
        raise RequestError(400, f"inputs: {missing!r} is missing")
    # Every shape is checked before the first array is made.
    shapes = [_checked_shape(spec, tensor) for spec, tensor in tensors]
    _check_texts(contract, shapes[0])
    arrays: dict[str, Array] = {}
    for (spec, tensor), shape in zip(tensors, shapes, strict=True):
        size = _size(spec, tensor, len(raw))
        if size is None:
            arrays[spec.name] = to_array(spec, shape, tensor.get("data"))
        else:
            arrays[spec.name] = binary.decode(spec, shape, raw[:size])
            raw = raw[size:]
    if raw:
        raise RequestError(400, f"{len(raw)} bytes follow the inputs' binary_data_size; they belong to none")
    return arrays


def _size(spec: TensorSpec, tensor: dict[str, Any], left: int) -> int | None:
    """Return how many bytes of the body are this tensor's; None where its data are JSON."""
    where = f"input {spec.name!r}"
    size = _parameters(where, tensor).get(_SIZE)
    if size is None:
        return None
    if type(size) is not int or not 0 <= size <= left:
        raise RequestError(
            400,
            f"{where}: {_SIZE}: {shown(size)} is not a number of bytes up to the {left} that follow the JSON "
            "(the header Inference-Header-Content-Length says where it ends)",
        )
    if "data" in tensor:
        raise RequestError(400, f"{where}: has both data and {_SIZE}; send one of the two")
    return size


def _check_texts(contract: ModelContract, shape: tuple[int, ...]) -> None:
    """Refuse texts whose token ids would take far more memory than the body did."""
    if contract.tokens is not None and shape[0] * contract.tokens.most > MAX_IDS:
        most = MAX_IDS // contract.tokens.most
        raise RequestError(400, f"input {contract.inputs[0].name!r}: {shape[0]} texts, the limit is {most}; send fewer")


def _checked_shape(spec: TensorSpec, tensor: dict[str, Any]) -> tuple[int, ...]:
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        if not isinstance(datatype, str) or datatype not in _DATATYPES:
            raise RequestError(400, f"input {spec.name!r}: datatype: {shown(datatype)} is unknown; use {spec.datatype}")
        raise RequestError(400, f"input {spec.name!r}: datatype: {datatype}, the model takes {spec.datatype}")
    return check_shape(spec, tensor.get("shape"))


def _outputs(contract: ModelContract, document: dict[str, Any]) -> tuple[tuple[TensorSpec, ...], tuple[bool, ...]]:
    """Return the outputs asked for and which of them as bytes, an empty tuple where none is."""
    parameters = document.get("parameters") or _NONE
    default = _switch("the request", parameters, _ALL_WANTED, default=False)
    # An empty list means the same as none: every output.
    if not document.get("outputs") and document.get("outputs") in (None, []):
        return contract.outputs, (True,) * len(contract.outputs) if default else ()
    tensors = _named(document, "outputs", contract.outputs)
    as_bytes = tuple(
        _switch(f"output {spec.name!r}", _parameters(f"output {spec.name!r}", one), _WANTED, default=default)
        for spec, one in tensors
    )
    return tuple(spec for spec, _ in tensors), as_bytes if any(as_bytes) else ()
