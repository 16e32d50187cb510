"""The resource provider service: Pulumi's calls, translated to the API server and back."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from local.plugins.kubernetes import config, diff, lifecycle, naming, planning
from local.plugins.kubernetes.client import ApiError, Client, NoKind, Unreachable
from local.plugins.kubernetes.jsonpath import ExpressionError
from local.plugins.kubernetes.lifecycle import Lifecycle, Operation
from local.plugins.kubernetes.values import plain, with_secrets
from local.plugins.serving import Engine
from local.plugins.stand_in import StandIn
from local.plugins.values import UNKNOWN, from_struct, to_struct

VERSION = "4.34.2"
NOTICE = f"stand-in for pulumi-kubernetes {VERSION}: knows every served kind, but not Helm, Kustomize, yaml and Patch"
CONNECTION_KEYS = ("kubeconfig", "context", "cluster")
FAILURES = (
    ApiError, NoKind, Unreachable, ExpressionError, naming.Unsupported, planning.Refused, lifecycle.ClusterUnreachable,
    lifecycle.Failed,
)  # fmt: skip
PropertyDiff = provider_pb2.PropertyDiff
KINDS = {
    (diff.ADD, False): PropertyDiff.ADD,
    (diff.ADD, True): PropertyDiff.ADD_REPLACE,
    (diff.DELETE, False): PropertyDiff.DELETE,
    (diff.DELETE, True): PropertyDiff.DELETE_REPLACE,
    (diff.UPDATE, False): PropertyDiff.UPDATE,
    (diff.UPDATE, True): PropertyDiff.UPDATE_REPLACE,
}


def _fail(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, str(error))
    raise error


def _init_failed(context: grpc.ServicerContext, error: lifecycle.InitFailed) -> NoReturn:
    """Tell the engine that the object exists and is to be kept in the state."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.identifier,
        properties=to_struct(error.state),
        reasons=[str(error), *error.reasons],
        inputs=to_struct(error.inputs) if error.inputs is not None else None,
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _fail(context, error)


class KubernetesProvider(StandIn):
    """Objects of an API server as Pulumi resources."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("kubernetes", VERSION, engine)
        self._cancelled = threading.Event()
        self._lifecycle: Lifecycle | None = None
        self._namespace = "default"

    @property
    def _life(self) -> Lifecycle:
        if self._lifecycle is None:
            raise lifecycle.Failed("the provider is not configured yet")
        return self._lifecycle

    def CheckConfig(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        olds, news = plain(from_struct(request.olds)), plain(from_struct(request.news))
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        if not changed:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        replaces = _replaces(olds, news, changed)
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_SOME, diffs=changed, replaces=replaces)

    def Configure(  # noqa: N802, D102
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        variables = dict(request.variables)
        if why := config.refused(variables):
            _fail(context, lifecycle.Failed(why))
        self._engine.info(NOTICE)
        settings = config.settings(variables, os.environ)
        client, unreachable = None, ""
        try:
            given = variables.get(f"{config.PREFIX}kubeconfig") or config.ambient(os.environ)
            target = config.target(*config.parse(given), variables)
            self._namespace = target.namespace
            client = Client(target)
            client.request("GET", "/version")
        except config.KubeconfigError as error:
            unreachable = f"unable to load Kubernetes client configuration from kubeconfig: {error}"
        except (Unreachable, ApiError) as error:
            unreachable = f"unable to load schema information from the API server: {error}"
        self._lifecycle = Lifecycle(
            None if unreachable else client, unreachable, settings, self._engine, self._cancelled
        )
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def Check(  # noqa: N802, D102
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        olds, news = from_struct(request.olds), from_struct(request.news)
        life = self._life
        if life.client is None and life.settings.skip_update_unreachable:
            self._engine.warning("Cluster is unreachable but skipUpdateUnreachable is set, skipping", request.urn)
            return provider_pb2.CheckResponse(inputs=request.olds)
        options = request.autonaming
        autonaming = planning.Autonaming(
            options.mode == options.DISABLE and bool(request.HasField("autonaming")), options.proposed_name
        )
        try:
            inputs = planning.checked(
                news, plain(olds), urn=request.urn, seed=request.randomSeed, autonaming=autonaming,
                client=life.client, namespace=self._namespace,
            )  # fmt: skip
        except FAILURES as error:
            _fail(context, error)
        return provider_pb2.CheckResponse(inputs=to_struct(with_secrets(inputs, news)))

    def Diff(  # noqa: N802, D102
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        life = self._life
        try:
            plan = planning.plan(
                from_struct(request.olds), from_struct(request.news), client=life.client, settings=life.settings,
                ignore=request.ignoreChanges,
            )  # fmt: skip
        except FAILURES as error:
            _fail(context, error)
        detailed = {
            diff.written(path): PropertyDiff(kind=KINDS[kind, path in plan.replaces], inputDiff=kind == diff.DELETE)
            for path, kind, _ in plan.changes
        }
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if plan.changes else none,
            replaces=[diff.written(path) for path in plan.replaces],
            deleteBeforeReplace=plan.delete_first,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(  # noqa: N802, D102
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        operation = Operation(request.urn, request.timeout, request.preview)
        try:
            identifier, state = self._life.create(operation, from_struct(request.properties))
        except lifecycle.InitFailed as error:
            _init_failed(context, error)
        except FAILURES as error:
            _fail(context, error)
        return provider_pb2.CreateResponse(id=identifier, properties=to_struct(state))

    def Read(  # noqa: N802, D102
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        state, inputs = from_struct(request.properties), from_struct(request.inputs)
        try:
            found = self._life.read(request.urn, request.id, state, inputs)
        except lifecycle.InitFailed as error:
            _init_failed(context, error)
        except FAILURES as error:
            _fail(context, error)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=to_struct(found.state), inputs=to_struct(found.inputs)
        )

    def Update(  # noqa: N802, D102
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        operation = Operation(request.urn, request.timeout, request.preview)
        olds, news = from_struct(request.olds), from_struct(request.news)
        try:
            state = self._life.update(operation, olds, news, list(request.ignoreChanges))
        except lifecycle.InitFailed as error:
            _init_failed(context, error)
        except FAILURES as error:
            _fail(context, error)
        return provider_pb2.UpdateResponse(properties=to_struct(state))

    def Delete(  # noqa: N802, D102
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        operation = Operation(request.urn, request.timeout, False)
        try:
            self._life.delete(operation, from_struct(request.properties))
        except lifecycle.InitFailed as error:
            _init_failed(context, error)
        except FAILURES as error:
            _fail(context, error)
        return empty_pb2.Empty()

    def Invoke(  # noqa: N802, D102
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        _fail(context, naming.Unsupported(f"{request.tok} is not known to the stand-in provider: use the official one"))

    def Construct(  # noqa: N802, D102
        self, request: provider_pb2.ConstructRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConstructResponse:
        _fail(
            context, naming.Unsupported(f"{request.type} is not known to the stand-in provider: use the official one")
        )

    def Cancel(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        self.stop()
        return empty_pb2.Empty()

    def stop(self) -> None:
        """End every wait; the objects stay in the state as not yet ready."""
        self._cancelled.set()


def _replaces(olds: Mapping[str, Any], news: Mapping[str, Any], changed: list[str]) -> list[str]:
    """Return the keys whose change means another cluster, where every object has to be made anew."""
    identifier, before = news.get("clusterIdentifier"), olds.get("clusterIdentifier")
    if identifier and before:
        return ["clusterIdentifier"] if identifier != before else []
    connection = [key for key in CONNECTION_KEYS if key in changed]
    unknown = [key for key in connection if news.get(key) is UNKNOWN]
    if unknown:
        return unknown
    old_cluster, new_cluster = config.active_cluster(olds), config.active_cluster(news)
    return connection if old_cluster and new_cluster and old_cluster != new_cluster else []
