"""Open Inference Protocol v2, the JSON form: requests checked and parsed, responses written.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from dataclasses import dataclass
from typing import Any, cast

import orjson

from model_server.contract import DATATYPES, TEXT, ModelContract, TensorSpec
from model_server.errors import RequestError, shown
from model_server.tensors import Array, check_shape, to_array, to_flat

MAX_ID = 256
MAX_IDS = 1 << 20  # token ids that the texts of one request may become
BINARY_KEYS = ("binary_data", "binary_data_size", "binary_data_output")


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A checked request: arrays by input name, and the outputs asked for in their order."""

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[TensorSpec, ...]


def parse_infer(contract: ModelContract, body: bytes) -> InferRequest:
    """Return the request in `body`, checked against the model's contract; raises RequestError."""
    try:
        # orjson refuses NaN, Infinity, numbers beyond a double and nesting deeper than 1024 levels.
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(400, "the body is not a JSON object; send {'inputs': [...]}")
    _check_parameters("the request", document)
    return InferRequest(_id(document), _inputs(contract, document), _outputs(contract, document))


def infer_response(contract: ModelContract, request: InferRequest, arrays: list[Array]) -> bytes:
    """Return the response's body; raises RequestError where an output cannot be written as JSON."""
    response: dict[str, object] = {"model_name": contract.name, "model_version": contract.version}
    if request.id is not None:
        response["id"] = request.id
    response["outputs"] = [
        {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape), "data": to_flat(spec, array)}
        for spec, array in zip(request.outputs, arrays, strict=True)
    ]
    return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)


def model_metadata(contract: ModelContract) -> dict[str, object]:
    """Return the metadata of a model; `labels` names the classes where the model has them."""
    metadata: dict[str, object] = {
        "name": contract.name,
        "versions": [contract.version],
        "platform": contract.platform,
        "inputs": [spec.as_json() for spec in contract.inputs],
        "outputs": [spec.as_json() for spec in contract.outputs],
    }
    if contract.labels:
        metadata["labels"] = list(contract.labels)
    return metadata


def _id(document: dict[str, Any]) -> str | None:
    value = document.get("id")
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise RequestError(400, f"id: {shown(value)} is not a text of at most {MAX_ID} characters")
    return value


def _check_parameters(where: str, holder: dict[str, Any]) -> None:
    parameters = holder.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise RequestError(400, f"{where}: parameters: {shown(parameters)} is not an object")
    for key, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            raise RequestError(400, f"{where}: parameters: {shown(key)} is not a text, a number or a boolean")
        if key in BINARY_KEYS and value is not False:
            raise RequestError(400, f"{where}: parameters: {key}: the binary tensor extension is not served; send JSON")


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key)
    if not isinstance(value, list) or not value:
        raise RequestError(400, f"{key}: {shown(value)} is not a list of at least one tensor")
    for at, one in enumerate(value):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise RequestError(400, f"{key}[{at}]: not an object with a name")
        _check_parameters(f"{key}[{at}]", one)
    names = [one["name"] for one in value]
    if len(set(names)) != len(names):
        raise RequestError(400, f"{key}: a tensor is named twice")
    return cast("list[dict[str, Any]]", value)


def _known(key: str, specs: tuple[TensorSpec, ...], name: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    names = ", ".join(spec.name for spec in specs)
    raise RequestError(400, f"{key}: {shown(name)} is not one of the model's: {names}")


def _inputs(contract: ModelContract, document: dict[str, Any]) -> dict[str, Array]:
    tensors = _objects(document, "inputs")
    specs = [_known("inputs", contract.inputs, one["name"]) for one in tensors]
    missing = [spec.name for spec in contract.inputs if spec not in specs]
    if missing:
        raise RequestError(400, f"inputs: {missing[0]!r} is missing")
    # Every shape is checked before the first array is made.
    shapes = [_checked_shape(spec, one) for spec, one in zip(specs, tensors, strict=True)]
    _check_texts(contract, shapes[0])
    return {
        spec.name: to_array(spec, shape, one.get("data"))
        for spec, shape, one in zip(specs, shapes, tensors, strict=True)
    }


def _check_texts(contract: ModelContract, shape: tuple[int, ...]) -> None:
    """Refuse texts whose token ids would take far more memory than the body did."""
    if contract.tokens is not None and shape[0] * contract.tokens.most > MAX_IDS:
        most = MAX_IDS // contract.tokens.most
        raise RequestError(400, f"input {contract.inputs[0].name!r}: {shape[0]} texts, the limit is {most}; send fewer")


def _checked_shape(spec: TensorSpec, tensor: dict[str, Any]) -> tuple[int, ...]:
    datatype = tensor.get("datatype")
    if datatype not in (*DATATYPES, TEXT):
        raise RequestError(400, f"input {spec.name!r}: datatype: {shown(datatype)} is unknown; use {spec.datatype}")
    if datatype != spec.datatype:
        raise RequestError(400, f"input {spec.name!r}: datatype: {datatype}, the model takes {spec.datatype}")
    return check_shape(spec, tensor.get("shape"))


def _outputs(contract: ModelContract, document: dict[str, Any]) -> tuple[TensorSpec, ...]:
    # An empty list means the same as none: every output.
    if document.get("outputs") in (None, []):
        return contract.outputs
    return tuple(_known("outputs", contract.outputs, one["name"]) for one in _objects(document, "outputs"))
