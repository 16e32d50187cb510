"""The provider's gRPC server: what the SDK's own `main` leaves out is an engine to log to, plain errors and an end."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc

from model_build.errors import BuildError
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.provider import ModelstackProvider

VERSION = "0.1.0"
# The largest message the engine itself takes.
MAX_MESSAGE = 400 * 1024 * 1024
PARENT_POLL_SECONDS = 1.0
PARENT = "MODELSTACK_ENGINE_PID"


class Servicer(ProviderServicer):
    """Answers a user's error with one plain line, a programming error with one line and a traceback in the log."""

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Validate inputs."""
        return await _plainly(super().Check(request, context), context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Compare state and inputs."""
        return await _plainly(super().Diff(request, context), context)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Create a resource."""
        return await _plainly(super().Create(request, context), context)  # type: ignore[no-untyped-call]  # the SDK's own

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Read a resource."""
        return await _plainly(super().Read(request, context), context)  # type: ignore[no-untyped-call]  # the SDK's own

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Update a resource."""
        return await _plainly(super().Update(request, context), context)  # type: ignore[no-untyped-call]  # the SDK's own

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Delete a resource."""
        return await _plainly(super().Delete(request, context), context)  # type: ignore[no-untyped-call]  # the SDK's own


async def _plainly(answer: Awaitable[Any], context: Any) -> Any:
    try:
        return await answer
    except (ProviderError, BuildError) as error:
        await context.abort(grpc.StatusCode.UNKNOWN, str(error))
    except Exception as error:  # the engine would show only the exception's class
        traceback.print_exc()
        await context.abort(grpc.StatusCode.INTERNAL, f"modelstack: {type(error).__name__}: {error}")


def main(args: list[str]) -> int:
    """Serve the engine until it ends or says so; returns the exit code."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-modelstack", description="Pulumi provider of modelstack.")
    parser.add_argument("engine", help="address of the engine")
    # The engine adds flags for its own logging.
    known, _ = parser.parse_known_args(args)
    # The launcher names its parent: one that was killed while this module was imported is noticed too.
    parent = int(os.environ.get(PARENT, os.getppid()))
    asyncio.run(_serve(args, known.engine, parent))
    return 0


async def _serve(args: list[str], engine: str, parent: int) -> None:
    provider = ModelstackProvider(EngineLog(engine))
    limits = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
    server = grpc.aio.server(options=limits)
    servicer = Servicer(args, VERSION, provider, engine_address=engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await _until_told_to_end(parent)
    await provider.cancel()
    await server.stop(grace=1)


async def _until_told_to_end(parent: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    # An engine that was killed says nothing; its provider then has another parent.
    while not ended.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(ended.wait(), PARENT_POLL_SECONDS)
        except TimeoutError:
            continue
