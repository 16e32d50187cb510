"""Feeds the decoders what atheris makes up, guided by what it reaches: `decoders.py MODELS -atheris_runs=N CORPUS`.

A byte says which model and decoder, two how long the JSON is; what follows is the body. What is not the client's error
ends the program, and its input lies in a file beside it.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["model_server"]):
    from model_server.errors import RequestError
    from model_server.grpc_bodies import parse_message
    from model_server.messages import Messages
    from model_server.protocol import parse_infer
    from model_server.repository import discover

from google.protobuf.message import DecodeError

CONTRACTS = discover(Path(sys.argv.pop(1))).contracts
MESSAGE = Messages()["ModelInferRequest"]
ALL_JSON = 0xFFFF


def decode(data: bytes) -> None:
    kind, length, body = data[0] if data else 0, int.from_bytes(data[1:3], "little"), data[3:]
    contract = CONTRACTS[kind // 2 % len(CONTRACTS)]
    try:
        if kind % 2:
            parse_infer(contract, body, None if length == ALL_JSON else min(length, len(body)))
        else:
            parse_message(contract, MESSAGE.FromString(body))
    except (RequestError, DecodeError):
        return


atheris.Setup(sys.argv, decode)
atheris.Fuzz()
