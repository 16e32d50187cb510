"""Policy packs: `python -m pulumi.policy` behind a proxy that learns the stack's configuration first."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2

from local.plugins import serving
from local.plugins.language.process import Children

START_SECONDS = 300.0


class PolicyProxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Answers the engine until the pack runs, then passes every call on unread.

    A pack written for `pulumi-policy` finds project, stack and configuration in its environment, so it can start only
    after the engine's ConfigureStack call, which comes over the pack's own service.
    """

    def __init__(self) -> None:
        self.configured = threading.Event()
        self.configuration: analyzer_pb2.AnalyzerStackConfigureRequest | None = None
        self._settled = threading.Event()
        self._channel: grpc.Channel | None = None

    def attach(self, port: int) -> None:
        """Pass calls on to the pack at this port."""
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=serving.OPTIONS)
        if self.configuration is not None:
            # A pack older than this call reads its environment alone.
            with contextlib.suppress(grpc.RpcError):
                analyzer_pb2_grpc.AnalyzerStub(channel).ConfigureStack(self.configuration)
        self._channel = channel
        self._settled.set()

    def fail(self) -> None:
        """Let waiting calls fail: the pack has ended."""
        self._settled.set()

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of one method."""
        method = handler_call_details.method
        own = {"Handshake": self._handshake, "ConfigureStack": self._configure_stack}.get(method.rsplit("/", 1)[-1])
        if own is not None:
            return grpc.unary_unary_rpc_method_handler(own)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._forward(method, request, context))

    def _handshake(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return bytes(analyzer_pb2.AnalyzerHandshakeResponse().SerializeToString())

    def _configure_stack(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        self.configuration = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request)
        self.configured.set()
        return bytes(analyzer_pb2.AnalyzerStackConfigureResponse().SerializeToString())

    def _forward(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        # `pulumi policy publish` asks for the pack's information without configuring a stack.
        self.configured.set()
        self._settled.wait(START_SECONDS)
        if self._channel is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the policy pack did not start; its output says why")
            raise RuntimeError  # not reached: abort raises
        try:
            answer: bytes = self._channel.unary_unary(method)(request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
            raise
        return answer


def environment_of(configuration: analyzer_pb2.AnalyzerStackConfigureRequest | None) -> dict[str, str]:
    """Return what a pack finds in its environment about the stack."""
    if configuration is None:
        return {}
    named = {
        "PULUMI_ORGANIZATION": configuration.organization,
        "PULUMI_PROJECT": configuration.project,
        "PULUMI_STACK": configuration.stack,
        "PULUMI_DRY_RUN": "true" if configuration.dry_run else "false",
        "PULUMI_CONFIG": json.dumps(dict(configuration.config)),
    }
    return {key: value for key, value in named.items() if value}


def run(
    children: Children,
    command: list[str],
    environment: Mapping[str, str],
    context: grpc.ServicerContext,
    stream: Callable[[subprocess.Popen[bytes]], Iterator[language_pb2.RunPluginResponse]],
) -> Iterator[language_pb2.RunPluginResponse]:
    """Run a pack, whose folder is the command's last word, behind the proxy: its port, output and exit status."""
    proxy = PolicyProxy()
    ports: list[int] = []
    server = serving.start(lambda server: server.add_generic_rpc_handlers((proxy,)), announce=ports.append)
    context.add_callback(proxy.configured.set)
    try:
        yield language_pb2.RunPluginResponse(stdout=f"{ports[0]}\n".encode())
        proxy.configured.wait()
        if not context.is_active():
            return
        process = children.start(
            command, {**environment, **environment_of(proxy.configuration)}, command[-1], capture=True
        )
        context.add_callback(lambda: children.stop(process) if process.poll() is None else None)
        _attach(proxy, process)
        yield from stream(process)
        yield language_pb2.RunPluginResponse(exitcode=children.wait(process))
    finally:
        proxy.fail()
        server.stop(grace=None)


def _attach(proxy: PolicyProxy, process: subprocess.Popen[bytes]) -> None:
    line = process.stdout.readline() if process.stdout else b""
    if not line.strip().isdigit():
        proxy.fail()
        return
    proxy.attach(int(line))
