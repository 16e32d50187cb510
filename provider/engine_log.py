"""Messages on a resource's row in the engine's display."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc


@dataclass(frozen=True)
class EngineLog:
    """Sends messages to the engine at `address`; one that cannot be sent is dropped, for a message stops no work."""

    address: str

    async def status(self, urn: str, message: str) -> None:
        """Show `message` until the next one."""
        await self._send(engine_pb2.INFO, urn, message, ephemeral=True)

    async def info(self, urn: str, message: str) -> None:
        """Show `message` and keep it among the diagnostics."""
        await self._send(engine_pb2.INFO, urn, message, ephemeral=False)

    async def caution(self, urn: str, message: str) -> None:
        """Show `message` as a warning."""
        await self._send(engine_pb2.WARNING, urn, message, ephemeral=False)

    async def _send(
        self, severity: engine_pb2.LogSeverity.ValueType, urn: str, message: str, *, ephemeral: bool
    ) -> None:
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, streamId=0, ephemeral=ephemeral)
        async with grpc.aio.insecure_channel(self.address) as channel:
            try:
                await engine_pb2_grpc.EngineStub(channel).Log(request, timeout=5)
            except grpc.aio.AioRpcError:
                return
