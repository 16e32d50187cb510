"""What every stand-in for a resource provider answers alike."""

from __future__ import annotations

import json

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from local.plugins.serving import Engine


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """A resource provider by the official one's name and version, with the engine that it tells of its work."""

    def __init__(self, name: str, version: str, engine: Engine) -> None:
        self._name = name
        self._version = version
        self._engine = engine

    def GetPluginInfo(  # noqa: N802, D102
        self, _request: empty_pb2.Empty, _context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._version)

    def Attach(self, request: plugin_pb2.PluginAttach, _context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        self._engine.connect(request.address)
        return empty_pb2.Empty()

    def GetSchema(  # noqa: N802, D102
        self, _request: provider_pb2.GetSchemaRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": self._name, "version": self._version}))
