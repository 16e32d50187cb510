"""Serves one plugin over gRPC as the Pulumi engine expects: port on standard output, end with the engine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

MESSAGE_BYTES = 400 * 1024 * 1024  # what the engine itself allows for one message
OPTIONS = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
PARENT_POLL_SECONDS = 1.0
ADDRESS = re.compile(r"^[\w.\-\[\]:]+:\d+$")


class Engine:
    """The engine's log, addressed once its address is known."""

    def __init__(self, address: str = "") -> None:
        self._stub: engine_pb2_grpc.EngineStub | None = None
        self.address = ""
        if address:
            self.connect(address)

    def connect(self, address: str) -> None:
        """Log to the engine at this address from now on."""
        self.address = address
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=OPTIONS))

    def log(
        self, severity: engine_pb2.LogSeverity.ValueType, message: str, urn: str = "", *, ephemeral: bool = False
    ) -> None:
        """Show a message to the user; dropped where the engine is gone."""
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        with contextlib.suppress(grpc.RpcError):
            self._stub.Log(request, timeout=5)

    def info(self, message: str, urn: str = "", *, ephemeral: bool = False) -> None:
        """Show an informational message."""
        self.log(engine_pb2.INFO, message, urn, ephemeral=ephemeral)

    def warning(self, message: str, urn: str = "") -> None:
        """Show a warning."""
        self.log(engine_pb2.WARNING, message, urn)

    def error(self, message: str, urn: str = "") -> None:
        """Show an error; the engine counts the operation as failed."""
        self.log(engine_pb2.ERROR, message, urn)


def engine_address(arguments: Sequence[str]) -> str:
    """Return the engine's address among a plugin's arguments; the engine puts it last."""
    return next((argument for argument in reversed(arguments) if ADDRESS.match(argument)), "")


def start(register: Callable[[grpc.Server], None], *, announce: Callable[[int], None]) -> grpc.Server:
    """Start a server on a free loopback port and announce the port."""
    # Threads are made on demand; an operation that waits for a rollout holds one for minutes.
    server = grpc.server(ThreadPoolExecutor(max_workers=512), options=OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    announce(port)
    return server


def print_port(port: int) -> None:
    """Tell the engine the port, on the first line of standard output."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def stop_event() -> threading.Event:
    """Return an event that SIGINT, SIGTERM or the death of the parent process sets."""
    event = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        event.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    # An engine that is killed with SIGKILL closes nothing, so its plugins have to look.
    threading.Thread(target=_watch_parent, args=(event, os.getppid()), daemon=True).start()
    return event


def _watch_parent(event: threading.Event, parent: int) -> None:
    while not event.wait(PARENT_POLL_SECONDS):
        if os.getppid() != parent:
            event.set()


def serve(register: Callable[[grpc.Server], None], stop: threading.Event, on_stop: Callable[[], None]) -> None:
    """Serve until the stop event is set, then end what still runs."""
    server = start(register, announce=print_port)
    # An untimed wait would keep signal handlers from running on some platforms.
    while not stop.wait(3600):
        continue
    on_stop()
    server.stop(grace=0.5).wait(2)
