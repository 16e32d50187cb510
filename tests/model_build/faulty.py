"""A way to a registry on which one request meets a fault, every request from one on, or every large one."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 65536
FAULTS = ("cut", "cut-halfway", "stall", "429", "500", "503", "truncated", "lost")


@dataclass
class Way:
    """Counts requests; those numbered `first` to before `last` meet `fault`, and bodies over `largest` meet a 413.

    `least` is the OCI-Chunk-Min-Length that a POST is answered with.
    """

    upstream: str
    fault: str
    first: int
    last: int
    largest: int = 1 << 60
    least: int = 0
    seen: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def fault_of(self, request: str, size: int) -> str:
        """Return the fault that this request meets; none for most."""
        with self.lock:
            number = len(self.seen)
            self.seen.append(request)
            self.sizes.append(size)
        if size > self.largest:
            return "413"
        return self.fault if self.first <= number < self.last else ""


@contextlib.contextmanager
def way(upstream: str, fault: str = "", first: int = 0, last: int = 0) -> Iterator[tuple[str, Way]]:
    """Yield the host of a way to `upstream`, and the way."""
    made = Way(upstream, fault, first, last)

    class Handler(_Handler):
        way = made

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", made
    finally:
        made.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        return  # the other end has gone, as some faults have it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    way: Way

    def do_GET(self) -> None:
        self.close_connection = False
        fault = self.way.fault_of(f"{self.command} {self.path}", self._length)
        if fault == "stall":
            self.way.closing.wait(60)
        if fault in ("cut", "stall"):
            self._hang_up()
            return
        if fault.isdecimal():
            self._read(self._length)
            self._answer(int(fault), {"Retry-After": "0"}, b"busy")
            return
        self._forward(fault)

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        return

    @property
    def _length(self) -> int:
        return int(self.headers.get("Content-Length", "0"))

    def _forward(self, fault: str) -> None:
        beyond = http.client.HTTPConnection(self.way.upstream, timeout=30)
        with contextlib.closing(beyond):
            beyond.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    beyond.putheader(name, value)
            beyond.endheaders()
            self._pass_on(beyond, self._length // 2 if fault == "cut-halfway" else self._length)
            if fault == "cut-halfway":
                self._hang_up()
                return
            found = beyond.getresponse()
            body = found.read()
        if fault == "lost":
            self._hang_up()
            return
        kept = {name: value for name, value in found.getheaders() if name.lower() not in ("date", "connection")}
        if self.command == "POST" and self.way.least:
            kept["OCI-Chunk-Min-Length"] = str(self.way.least)
        self._answer(found.status, kept, body, whole=fault != "truncated")

    def _pass_on(self, beyond: http.client.HTTPConnection, size: int) -> None:
        while size:
            block = self._read(min(BLOCK, size))
            if not block:
                return
            beyond.send(block)
            size -= len(block)

    def _read(self, size: int) -> bytes:
        return self.rfile.read(size) if size else b""

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, whole: bool = True) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        if whole:
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            return
        # In the midst of the headers, or of the body where there is one.
        if body and self.command != "HEAD":
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
        else:
            self.wfile.write(b"".join(self._headers_buffer)[:20])  # type: ignore[attr-defined]
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
