"""The short way for small inference requests: from uvicorn's parser to the batch and back, without an ASGI task each.

uvicorn's protocol does the rest: connections, keep-alive, pipelining, and every request that is not a plain small
`POST …/infer`, which goes to the application as usual. A task, a scope and four messages a request would cost twice
what parsing, running and writing a small model's answer do (docs/benchmarks.md has the figures).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from model_server.answers import HEADER_LENGTH, Answer
from model_server.batching import Job
from model_server.errors import slow_body
from model_server.inference import INLINE_BYTES, Inference
from model_server.state import Served

_LENGTH, _BINARY = b"content-length", HEADER_LENGTH.encode()
_CLOSING, _GOING_ON = "connection: close\r\n\r\n", "\r\n"
# What these ask for, the application does.
_OTHERS = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})


class _Never:
    """In place of an event that somebody may wait for: nobody does."""

    def set(self) -> None:
        """Do nothing."""


class Fast(RequestResponseCycle):
    """One request on the short way, in the shape in which uvicorn keeps what a connection is busy with."""

    def __init__(
        self, protocol: "LaneProtocol", served: Served, header_length: int | None, *, keep_alive: bool
    ) -> None:
        self.protocol = protocol
        self.served = served
        self.header_length = header_length
        self.keep_alive = keep_alive
        self.parts: list[bytes] = []
        self.job: Job | None = None
        self.disconnected = False
        self.response_complete = False
        self.message_event = _Never()  # type: ignore[assignment]

    def answer(self, answer: Answer) -> None:
        """Write the answer, and let the connection go on with the next request."""
        if not self.response_complete:
            self.response_complete = True
            if not self.disconnected:
                self.protocol.write(answer, keep_alive=self.keep_alive)


class LaneProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 connection, with the short way for small inference requests."""

    def __init__(
        self,
        inference: Inference,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._inference = inference
        self._fast: Fast | None = None
        self._midway = False
        self._patience: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; what began and did not end must end within the deadline."""
        super().data_received(data)
        if self._midway or self._patience is not None:
            self._wait_for_the_rest()

    def _wait_for_the_rest(self) -> None:
        if self._midway and (self._fast is not None or self.cycle is None or self.cycle.response_complete):
            if self._patience is None:
                self._patience = self.loop.call_later(self._inference.deadline, self._lose_patience)
        elif self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the request, whose client is gone."""
        if self._patience is not None:
            self._patience.cancel()
        fast = self.cycle
        super().connection_lost(exc)
        if isinstance(fast, Fast) and fast.job is not None and not fast.response_complete:
            self._inference.abandon(fast.served, fast.job)

    def on_message_begin(self) -> None:
        """Begin a request; which way it goes is known when its headers are."""
        self.url = b""
        self.headers = []
        self._midway = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the short way where the request is a small inference request and nothing else is under way."""
        fast = self._short_way()
        self._fast = fast
        if fast is not None:
            self.cycle = fast
            return
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.on_url(url)
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._fast is None:
            super().on_body(body)
        else:
            self._fast.parts.append(body)

    def on_message_complete(self) -> None:
        """Ask the model."""
        self._midway = False
        fast, self._fast = self._fast, None
        if fast is None:
            super().on_message_complete()
            return
        if fast.response_complete:
            return
        body = fast.parts[0] if len(fast.parts) == 1 else b"".join(fast.parts)
        fast.job = self._inference.begin(fast.served, body, fast.header_length, fast.answer)

    def write(self, answer: Answer, *, keep_alive: bool) -> None:
        """Write `answer` as the response to the request that the connection is busy with."""
        closing = not keep_alive or self._inference.state.draining
        more = "".join([f"{name}: {value}\r\n" for name, value in answer.headers]) if answer.headers else ""
        head = (
            f"content-type: {answer.media_type}\r\ncontent-length: {len(answer.body)}\r\n"
            f"{more}{_CLOSING if closing else _GOING_ON}"
        )
        dated = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join((STATUS_LINE[answer.status], *dated, head.encode(), answer.body)))
        if closing:
            self.transport.close()
        self.on_response_complete()

    def _short_way(self) -> Fast | None:
        served = self._inference.state.paths.get(self.url)
        if served is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        if self.cycle is not None and not self.cycle.response_complete:
            return None  # requests sent ahead are answered in their order, which uvicorn keeps
        headers = dict(self.headers)
        length = _whole(headers.get(_LENGTH, b""))
        if not 0 <= length <= INLINE_BYTES or not _OTHERS.isdisjoint(headers):
            return None
        header_length = _whole(headers[_BINARY]) if _BINARY in headers else None
        if header_length is not None and not 0 <= header_length <= length:
            return None
        return Fast(self, served, header_length, keep_alive=self.parser.should_keep_alive())

    def _lose_patience(self) -> None:
        """Close a connection whose request began and did not end in time."""
        self._patience = None
        if self.transport.is_closing():
            return
        seconds = self._inference.deadline
        late = slow_body(seconds)
        if self._fast is not None:
            self._fast.response_complete = True
        served = None if self._fast is None else self._fast.served
        self.write(self._inference.refuse(served, late, seconds), keep_alive=False)


def lane(inference: Inference) -> Callable[..., LaneProtocol]:
    """Return what makes a connection's protocol, as `uvicorn.Config(http=…)` takes it."""

    def protocol(**given: Any) -> LaneProtocol:
        return LaneProtocol(inference, **given)

    return protocol


def _whole(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 10 else -1
