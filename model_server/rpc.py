"""The protocol over gRPC: a second listener of the same server, with the same answers in gRPC's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import orjson
from google.protobuf.message import DecodeError

from model_server import VERSION
from model_server.answers import Answer
from model_server.app import listed
from model_server.config import Config
from model_server.errors import ConfigError, RequestError
from model_server.grpc_bodies import parse_message, response_message
from model_server.inference import Inference
from model_server.messages import SERVICE, Messages
from model_server.protocol import EXTENSIONS, model_metadata
from model_server.state import Served

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Probes are answered also while as many requests as are admitted are in the server.
SPARE_CALLS = 64
# A connection lives for minutes, so that new pods get their share of what one client sends.
CONNECTION_AGE_SECONDS = 300
IDENTITY_ONLY = 1

Context = Any  # grpc.aio.ServicerContext, which has no types
Call = Callable[[bytes, Context], Awaitable[bytes]]


class RpcServer:
    """Answers the protocol's calls on a port of its own."""

    def __init__(self, inference: Inference, config: Config) -> None:
        self._inference = inference
        self._state = inference.state
        self._config = config
        self._messages = Messages()
        self._server: Any = None

    async def start(self) -> None:
        """Listen; raises ConfigError where the port cannot be had."""
        config = self._config
        self._server = grpc.aio.server(
            options=_options(config), maximum_concurrent_rpcs=config.max_inflight + SPARE_CALLS
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        host = f"[{config.host}]" if ":" in config.host else config.host
        try:
            self._server.add_insecure_port(f"{host}:{config.grpc_port}")
        except RuntimeError as error:
            raise ConfigError(
                f"MODELSTACK_GRPC_PORT: {config.grpc_port} on {config.host} cannot be bound; name a free port of 1024 "
                "or more, or 0 for none"
            ) from error
        await self._server.start()

    async def stop(self) -> None:
        """Take no more calls, and let those that are under way end within their deadline."""
        if self._server is not None:
            await self._server.stop(self._config.deadline)

    def _handlers(self) -> Any:
        answers: dict[str, Callable[[Any], Any]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._about_server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._about_model,
            "RepositoryIndex": self._index,
        }
        calls: dict[str, Call] = {name: partial(self._simple, name, answer) for name, answer in answers.items()}
        calls["ModelInfer"] = self._infer
        # Bytes in and out: what cannot be read is the client's error, which gRPC itself would call the server's.
        # A stream of one message is the same on the wire, and the time until it is whole can be bounded.
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(partial(self._received, call)) for name, call in calls.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _received(self, call: Call, arriving: AsyncIterator[bytes], context: Context) -> bytes:
        """Return what `call` answers to the one message of `arriving`, which must be whole within the deadline."""
        seconds = self._config.deadline
        try:
            async with asyncio.timeout(seconds):
                raw = await anext(aiter(arriving))
        except TimeoutError:
            late = f"the message did not arrive within {seconds:g} s; send it faster"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, late)
        except StopAsyncIteration:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
        return await call(raw, context)

    async def _simple(self, name: str, answer: Callable[[Any], Any], raw: bytes, context: Context) -> bytes:
        try:
            response = answer(self._read(f"{name}Request", raw))
        except RequestError as error:
            await context.abort(CODES[error.status], error.message)
        return bytes(response.SerializeToString())

    async def _infer(self, raw: bytes, context: Context) -> bytes:
        message = self._messages["ModelInferRequest"]()

        def find() -> Served:
            message.MergeFrom(self._read("ModelInferRequest", raw))
            return self._state.catalog.find(message.model_name, message.model_version or None)

        async def answer(served: Served) -> Answer:
            parse = partial(parse_message, served.contract, message)
            write = partial(response_message, self._messages, served.contract, message)
            return Answer(200, await self._inference.compute(served, len(raw), parse, write))

        found = await self._inference.counting(find, answer)
        if found.status != 200:
            await context.abort(CODES.get(found.status, grpc.StatusCode.INTERNAL), orjson.loads(found.body)["error"])
        return found.body

    def _read(self, name: str, raw: bytes) -> Any:
        try:
            return self._messages[name].FromString(raw)
        except DecodeError as error:
            raise RequestError(400, f"the message is not a {name}") from error

    def _live(self, _: Any) -> Any:
        return self._messages["ServerLiveResponse"](live=True)

    def _ready(self, _: Any) -> Any:
        return self._messages["ServerReadyResponse"](ready=self._state.ready)

    def _about_server(self, _: Any) -> Any:
        told = {"name": "modelstack", "version": VERSION, "extensions": EXTENSIONS}
        return self._messages["ServerMetadataResponse"](**told)

    def _model_ready(self, request: Any) -> Any:
        served = self._state.catalog.find(request.name, request.version or None)
        return self._messages["ModelReadyResponse"](ready=served.ready and not self._state.draining)

    def _about_model(self, request: Any) -> Any:
        contract = self._state.catalog.find(request.name, request.version or None).contract
        told = model_metadata(contract, list(self._state.catalog.versions[contract.name]))
        told.pop("labels", None)  # the protocol's message has no field for them
        return self._messages["ModelMetadataResponse"](**told)

    def _index(self, request: Any) -> Any:
        shown = [one for one in self._state.catalog.all() if one.ready or not request.ready]
        return self._messages["RepositoryIndexResponse"](models=[listed(one) for one in shown])


def _options(config: Config) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.max_body),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", config.max_inflight + SPARE_CALLS),
        ("grpc.max_connection_age_ms", CONNECTION_AGE_SECONDS * 1000),
        # A message is unpacked before its length is looked at, so a small one could fill the memory.
        ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        # Two servers on one port would each get some of the calls.
        ("grpc.so_reuseport", 0),
    ]
