"""The lines between a build and its worker: JSON objects over pipes of their own."""

import json
from typing import Any, BinaryIO


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write one message."""
    stream.write(json.dumps(message, allow_nan=False).encode() + b"\n")
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message, None at the end; raises ValueError for a line that is none."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is no mapping")
    return message
