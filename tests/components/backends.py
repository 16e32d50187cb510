"""Pods as the gateway sees them: servers of loopback addresses, and a name server that tells of them."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READY = "/v2/health/ready"


@dataclass
class Pod:
    """One server: what it does next, and what it was asked."""

    address: str
    ready: bool = True
    dies: bool = False
    """It reads a request and closes the connection without a word."""
    closes: bool = False
    """It closes the connection after each answer."""
    status: int = 200
    seconds: float = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    """The headers of every request that is no question for its health, lower case, with `path`."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: two would wait for each other's acknowledgement
    pod: Pod

    def do_GET(self) -> None:
        if self.path == READY:
            self._answer(200 if self.pod.ready else 503, {"ready": self.pod.ready})
            return
        self.pod.asked.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.pod.dies:
            self.close_connection = True
            return
        time.sleep(self.pod.seconds)
        self._answer(self.pod.status, {"pod": self.pod.address})

    do_POST = do_GET  # noqa: N815 (the name http.server calls)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        if self.pod.closes:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        """Answer until the gateway hangs up, which it does after each question for health."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(pod: Pod, port: int) -> Iterator[Pod]:
    """Serve a pod at its address."""
    handler = type("Handler", (_Handler,), {"pod": pod})
    with ThreadingHTTPServer((pod.address, port), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield pod
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def naming(names: dict[str, list[str]]) -> Iterator[str]:
    """Yield HOST:PORT of a name server that answers with what `names` holds by then: name → addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        ended = threading.Event()
        thread = threading.Thread(target=_answer_names, args=(server, names, ended), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def _answer_names(server: socket.socket, names: dict[str, list[str]], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            query, client = server.recvfrom(4096)
        except TimeoutError:
            continue
        server.sendto(_records(query, names), client)


def _records(query: bytes, names: dict[str, list[str]]) -> bytes:
    """Return the answer to a DNS query of one question: RFC 1035, sections 4.1.1 to 4.1.3."""
    end = query.index(0, 12) + 5
    question, labels, at = query[12:end], [], 0
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    # Of IPv6 there is none, which is no error.
    is_v4 = question[at + 1 : at + 3] == b"\x00\x01"
    addresses = names.get(".".join(labels), []) if is_v4 else []
    header = struct.pack("!2sHHHHH", query[:2], 0x8580, 1, len(addresses), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4)
    return header + question + b"".join(record + socket.inet_aton(one) for one in addresses)
