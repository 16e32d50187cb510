"""gRPC's inference messages as the HTTP side's requests, and arrays as its answers: one set of checks for both."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from model_server import binary
from model_server.contract import TEXT, ModelContract
from model_server.errors import RequestError, shown
from model_server.messages import Messages
from model_server.protocol import InferRequest, parse_document
from model_server.tensors import NUMPY_TYPES, Array

# FP16 has none: it travels as bytes.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    TEXT: "bytes_contents",
}


def parse_message(contract: ModelContract, message: Any) -> InferRequest:
    """Return the request in a ModelInferRequest, checked against the model's contract; raises RequestError."""
    parts = _raw(message) if message.raw_input_contents else [_packed(one) for one in message.inputs]
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": len(part)},
        }
        for tensor, part in zip(message.inputs, parts, strict=True)
    ]
    outputs = [{"name": one.name} for one in message.outputs]
    document = {"id": message.id or None, "inputs": inputs, "outputs": outputs}
    return parse_document(contract, document, memoryview(parts[0] if len(parts) == 1 else b"".join(parts)))


def response_message(
    messages: Messages, contract: ModelContract, message: Any, request: InferRequest, arrays: list[Array]
) -> bytes:
    """Return the ModelInferResponse: bytes where the request's inputs were, or where a datatype has no field."""
    response = messages["ModelInferResponse"](
        model_name=contract.name, model_version=contract.version, id=request.id or ""
    )
    raw = bool(message.raw_input_contents) or any(spec.datatype not in CONTENTS for spec in request.outputs)
    for spec, array in zip(request.outputs, arrays, strict=True):
        output = response.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        if raw:
            response.raw_output_contents.append(binary.encode(array))
        else:
            getattr(output.contents, CONTENTS[spec.datatype]).extend(array.ravel().tolist())
    return bytes(response.SerializeToString())


def _raw(message: Any) -> Sequence[bytes]:
    if len(message.raw_input_contents) != len(message.inputs):
        raise RequestError(
            400, f"raw_input_contents: {len(message.raw_input_contents)} tensors, inputs: {len(message.inputs)}"
        )
    if any(one.HasField("contents") for one in message.inputs):
        raise RequestError(400, "inputs: has both contents and raw_input_contents; send one of the two")
    return list(message.raw_input_contents)


def _packed(tensor: Any) -> bytes:
    """Return a tensor's typed contents as bytes; raises RequestError."""
    datatype = tensor.datatype
    field = CONTENTS.get(datatype)
    if field is None:
        known = "has no typed contents; send raw_input_contents" if datatype in NUMPY_TYPES else "is unknown"
        raise RequestError(400, f"input {shown(tensor.name)}: datatype: {shown(datatype)} {known}")
    values = getattr(tensor.contents, field)
    if datatype == TEXT:
        return b"".join(struct.pack("<I", len(one)) + one for one in values)
    try:
        return binary.encode(np.array(values, NUMPY_TYPES[datatype]))
    except OverflowError as error:
        raise RequestError(
            400, f"input {shown(tensor.name)}: {field}: a value is outside {datatype}'s range"
        ) from error
