"""Pulumi property values as plain Python values, with secrets and unknowns kept apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2

SIGNATURE = "4dabf18193072939515e22adb298388d"  # pragma: allowlist secret
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker of the wire format  # pragma: allowlist secret
UNKNOWN_MARKER = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@dataclass(frozen=True)
class Secret:
    """A value the state keeps encrypted."""

    value: Any


class Unknown:
    """A value that is not known before an update."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN = Unknown()


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the properties of a message."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        if value.struct_value.fields[SIGNATURE].string_value == SECRET_SIGNATURE:
            return Secret(_from_value(value.struct_value.fields["value"]))
        return {key: _from_value(entry) for key, entry in value.struct_value.fields.items() if key != SIGNATURE}
    if kind == "list_value":
        return [_from_value(entry) for entry in value.list_value.values]
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_MARKER else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if math.isfinite(number) and number == int(number) else number
    return value.bool_value if kind == "bool_value" else None


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return the message of properties."""
    return struct_pb2.Struct(fields={key: _to_value(value) for key, value in properties.items()})


def _to_value(value: Any) -> struct_pb2.Value:
    if isinstance(value, Secret):
        return _to_value({SIGNATURE: SECRET_SIGNATURE, "value": value.value})
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=to_struct(value))
    if isinstance(value, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_to_value(entry) for entry in value]))
    return _to_scalar(value)


def _to_scalar(value: Any) -> struct_pb2.Value:
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    return struct_pb2.Value(string_value=UNKNOWN_MARKER if value is UNKNOWN else str(value))


def has_unknown(value: Any) -> bool:
    """Say whether anything in a value is unknown."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, Mapping):
        return any(has_unknown(entry) for entry in value.values())
    return any(has_unknown(entry) for entry in value) if isinstance(value, list) else value is UNKNOWN


def has_secret(value: Any) -> bool:
    """Say whether anything in a value is secret."""
    if isinstance(value, Mapping):
        return any(has_secret(entry) for entry in value.values())
    return any(has_secret(entry) for entry in value) if isinstance(value, list) else isinstance(value, Secret)
