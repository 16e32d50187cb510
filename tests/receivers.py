"""Who is told of something in tests: a web server and a mail server on loopback that keep what they were sent."""

from __future__ import annotations

import base64
import contextlib
import json
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, cast


@dataclass
class Hook:
    """What a web server was posted; it answers with each of `statuses` once, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    location: str = ""


@contextlib.contextmanager
def hook() -> Iterator[Hook]:
    """Run a web server."""
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.asked.append(self.path)
            made.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(made.statuses.pop(0) if made.statuses else 200)
            if made.location:
                self.send_header("location", made.location)
            self.send_header("retry-after", "3600")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/hook/T0KEN-0f-the-hook"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@dataclass
class Mailbox:
    """What a mail server took (RFC 5321), from whom for whom, and with which login; `refusals` are answers to MAIL."""

    address: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    tried: int = 0


@contextlib.contextmanager
def mailbox(certificate: Path | None = None) -> Iterator[Mailbox]:
    """Run a mail server; with a certificate it knows STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954)."""
    made = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            session = _Session(made, certificate, self)
            try:
                session.run()
            finally:
                session.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        made.address = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


class _Session:
    def __init__(self, box: Mailbox, certificate: Path | None, handler: socketserver.StreamRequestHandler) -> None:
        self._box, self._certificate = box, certificate
        self._socket = handler.connection
        self._file: BinaryIO = cast(BinaryIO, handler.rfile)
        self._sender, self._recipients, self._encrypted = "", list[str](), False

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def run(self) -> None:
        self._say("220 tests")
        while line := self._file.readline().decode().strip():
            command = line.upper()
            if command.startswith("QUIT"):
                return self._say("221 bye")
            if command == "STARTTLS":
                self._start_tls()
            elif command == "DATA":
                self._take()
            else:
                self._say(self._answer(line, command))
        return None

    def _answer(self, line: str, command: str) -> str:
        if command.startswith("EHLO"):
            if self._certificate is None:
                return "250 tests"
            return "250-tests\r\n250 AUTH PLAIN" if self._encrypted else "250-tests\r\n250 STARTTLS"
        if command.startswith("AUTH PLAIN "):
            self._box.logins.append(base64.b64decode(line.split()[2]).decode())
            return "235 ok"
        if command.startswith("MAIL FROM:"):
            self._box.tried += 1
            self._sender = line.partition("<")[2].partition(">")[0]
            return self._box.refusals.pop(0) if self._box.refusals else "250 ok"
        if command.startswith("RCPT TO:"):
            self._recipients.append(line.partition("<")[2].partition(">")[0])
        return "250 ok"

    def _take(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".").replace(b"\r\n", b"\n"))
        self._box.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
        self._box.envelopes.append((self._sender, self._recipients))
        self._box.encrypted.append(self._encrypted)
        self._say("250 taken")

    def _start_tls(self) -> None:
        assert self._certificate is not None
        self._say("220 go on")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate)
        self._socket = context.wrap_socket(self._socket, server_side=True)
        self._file = cast(BinaryIO, self._socket.makefile("rb"))
        self._encrypted = True

    def _say(self, text: str) -> None:
        self._socket.sendall(f"{text}\r\n".encode())


def certificate(folder: Path) -> Path:
    """Make a certificate of 127.0.0.1 that vouches for itself; returns its file, with the key."""
    file, key = folder / "pair.pem", folder / "key.pem"
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named]
    subprocess.run([*made, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file
