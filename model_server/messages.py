"""The messages of the protocol's gRPC side: package `inference`, their names and field numbers, described here.

Parameters have no field: none has a meaning here, and what a message has besides is skipped when it is read.
Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_grpc.md; the index:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"
TEXT, BYTES, BOOL = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_BOOL
INT32, INT64 = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_INT64
UINT32, UINT64 = FieldDescriptorProto.TYPE_UINT32, FieldDescriptorProto.TYPE_UINT64
FLOAT, DOUBLE = FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_DOUBLE


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `kind` is a scalar's type or the full name of a message, `many` where it is repeated."""

    number: int
    name: str
    kind: int | str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message, and those that are declared within it."""

    name: str
    fields: tuple[Field, ...] = ()
    within: tuple["Message", ...] = ()


NAMED = (Field(1, "name", TEXT), Field(2, "version", TEXT))
TENSOR = (Field(1, "name", TEXT), Field(2, "datatype", TEXT), Field(3, "shape", INT64, many=True))
WITH_CONTENTS = (*TENSOR, Field(5, "contents", ".inference.InferTensorContents"))
MESSAGES = (
    Message("ServerLiveRequest"),
    Message("ServerLiveResponse", (Field(1, "live", BOOL),)),
    Message("ServerReadyRequest"),
    Message("ServerReadyResponse", (Field(1, "ready", BOOL),)),
    Message("ModelReadyRequest", NAMED),
    Message("ModelReadyResponse", (Field(1, "ready", BOOL),)),
    Message("ServerMetadataRequest"),
    Message("ServerMetadataResponse", (*NAMED, Field(3, "extensions", TEXT, many=True))),
    Message("ModelMetadataRequest", NAMED),
    Message(
        "ModelMetadataResponse",
        (
            Field(1, "name", TEXT),
            Field(2, "versions", TEXT, many=True),
            Field(3, "platform", TEXT),
            Field(4, "inputs", ".inference.ModelMetadataResponse.TensorMetadata", many=True),
            Field(5, "outputs", ".inference.ModelMetadataResponse.TensorMetadata", many=True),
        ),
        (Message("TensorMetadata", TENSOR),),
    ),
    Message(
        "InferTensorContents",
        (
            Field(1, "bool_contents", BOOL, many=True),
            Field(2, "int_contents", INT32, many=True),
            Field(3, "int64_contents", INT64, many=True),
            Field(4, "uint_contents", UINT32, many=True),
            Field(5, "uint64_contents", UINT64, many=True),
            Field(6, "fp32_contents", FLOAT, many=True),
            Field(7, "fp64_contents", DOUBLE, many=True),
            Field(8, "bytes_contents", BYTES, many=True),
        ),
    ),
    Message(
        "ModelInferRequest",
        (
            Field(1, "model_name", TEXT),
            Field(2, "model_version", TEXT),
            Field(3, "id", TEXT),
            Field(5, "inputs", ".inference.ModelInferRequest.InferInputTensor", many=True),
            Field(6, "outputs", ".inference.ModelInferRequest.InferRequestedOutputTensor", many=True),
            Field(7, "raw_input_contents", BYTES, many=True),
        ),
        (
            Message("InferInputTensor", WITH_CONTENTS),
            Message("InferRequestedOutputTensor", (Field(1, "name", TEXT),)),
        ),
    ),
    Message(
        "ModelInferResponse",
        (
            Field(1, "model_name", TEXT),
            Field(2, "model_version", TEXT),
            Field(3, "id", TEXT),
            Field(5, "outputs", ".inference.ModelInferResponse.InferOutputTensor", many=True),
            Field(6, "raw_output_contents", BYTES, many=True),
        ),
        (Message("InferOutputTensor", WITH_CONTENTS),),
    ),
    Message("RepositoryIndexRequest", (Field(1, "repository_name", TEXT), Field(2, "ready", BOOL))),
    Message(
        "RepositoryIndexResponse",
        (Field(1, "models", ".inference.RepositoryIndexResponse.ModelIndex", many=True),),
        (Message("ModelIndex", (*NAMED, Field(3, "state", TEXT), Field(4, "reason", TEXT))),),
    ),
)


class Messages:
    """The messages' classes, in a pool of their own: another description of them may live in the same process."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        file = FileDescriptorProto(name="open_inference.proto", package="inference", syntax="proto3")
        file.message_type.extend(_described(one) for one in MESSAGES)
        self._pool.Add(file)
        self._classes: dict[str, Any] = {}
        for one in MESSAGES:
            self._classes[one.name] = GetMessageClass(self._pool.FindMessageTypeByName(f"inference.{one.name}"))

    def __getitem__(self, name: str) -> Any:
        """Return the class of a message."""
        return self._classes[name]


def _described(message: Message) -> DescriptorProto:
    described = DescriptorProto(name=message.name)
    described.nested_type.extend(_described(one) for one in message.within)
    for one in message.fields:
        many = FieldDescriptorProto.LABEL_REPEATED if one.many else FieldDescriptorProto.LABEL_OPTIONAL
        field = described.field.add(name=one.name, number=one.number, label=many)
        if isinstance(one.kind, str):
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, one.kind
        else:
            field.type = one.kind
    return described
