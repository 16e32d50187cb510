"""The resource provider service of the planner: inputs are planned as they are, what AWS would tell stays unknown."""

from __future__ import annotations

from typing import NoReturn

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2

from local.plugins.serving import Engine
from local.plugins.stand_in import StandIn
from local.plugins.values import from_struct

VERSION = "7.51.1"
NOTICE = (
    f"planner in place of pulumi-aws {VERSION}: plans without an account; what exists already it cannot see, and "
    "which change replaces a resource only the official provider knows"
)
REMEDY = (
    f"run with the official provider (`pulumi plugin install resource aws {VERSION}`) and credentials of the account"
)
SOME, NONE = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE


def _refuse(context: grpc.ServicerContext, what: str) -> NoReturn:
    message = f"{what}: the planner in place of pulumi-aws applies and reads nothing; {REMEDY}"
    context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
    raise RuntimeError(message)


class AwsPlanner(StandIn):
    """Resources of AWS in a preview."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("aws", VERSION, engine)

    def CheckConfig(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        if request.news.fields["region"].WhichOneof("kind") is not None:
            return provider_pb2.CheckResponse(inputs=request.news)
        missing = provider_pb2.CheckFailure(property="region", reason="is missing; name one, no default is taken")
        return provider_pb2.CheckResponse(failures=[missing])

    def DiffConfig(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        return _difference(request.olds, request.news)

    def Configure(  # noqa: N802, D102
        self, _request: provider_pb2.ConfigureRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        self._engine.info(NOTICE)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        return _difference(request.old_inputs, request.news)

    def Create(  # noqa: N802, D102
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        if not request.preview:
            _refuse(context, request.urn)
        return provider_pb2.CreateResponse(properties=request.properties)

    def Update(  # noqa: N802, D102
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        if not request.preview:
            _refuse(context, request.urn)
        return provider_pb2.UpdateResponse(properties=request.news)

    def Read(  # noqa: N802, D102
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        _refuse(context, request.urn)

    def Delete(  # noqa: N802, D102
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        _refuse(context, request.urn)

    def Invoke(  # noqa: N802, D102
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        _refuse(context, request.tok)

    def Cancel(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        return empty_pb2.Empty()


def _difference(olds: struct_pb2.Struct, news: struct_pb2.Struct) -> provider_pb2.DiffResponse:
    before, after = from_struct(olds), from_struct(news)
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return provider_pb2.DiffResponse(changes=SOME if changed else NONE, diffs=changed)
