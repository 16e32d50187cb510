"""Answers: JSON bodies, tensors as bytes, and one shape for every error: `{"error": "…"}`."""

import logging
from dataclasses import dataclass

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_server.errors import RequestError, RunError
from model_server.logs import LOGGER, write
from model_server.protocol import Written
from model_server.state import State

JSON = "application/json"
BYTES = "application/octet-stream"
HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and what its headers say; lengths and dates are the connection's."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def response(self) -> Response:
        """Return the answer as Starlette sends it."""
        return Response(self.body, self.status, dict(self.headers), self.media_type)


def written_answer(written: Written) -> Answer:
    """Return the answer that holds the outputs of a model."""
    if written.header_length is None:
        return Answer(200, written.body)
    return Answer(200, written.body, BYTES, ((HEADER_LENGTH, str(written.header_length)),))


def error_answer(error: Exception) -> Answer:
    """Return the answer to a request that ended in `error`; what the client did not cause is logged."""
    if isinstance(error, RequestError):
        headers = () if error.retry_after is None else (("retry-after", str(error.retry_after)),)
        return Answer(error.status, _message(error.message), headers=headers)
    if isinstance(error, RunError):
        write(logging.ERROR, "the model could not be run", error=str(error))
        return Answer(500, _message(f"the model could not be run on these inputs: {error}"))
    LOGGER.error("internal error", exc_info=error)
    return Answer(500, _message("internal error; the server's log says more"))


def json_answer(status: int, document: object) -> Response:
    """Return `document` as a JSON answer."""
    return Answer(status, orjson.dumps(document)).response()


async def on_error(_: Request, error: Exception) -> Response:
    """Answer an exception that a route raised."""
    return error_answer(error).response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = {
        404: "no such path; GET /v2/models lists the models, POST /v2/models/<name>/infer asks one",
        405: f"{request.method} is not allowed here",
    }.get(status, "the request cannot be served")
    headers = tuple((getattr(error, "headers", None) or {}).items())
    return Answer(status, _message(message), headers=headers).response()


def closing_while_draining(app: ASGIApp, state: State) -> ASGIApp:
    """Return `app` with `Connection: close` on every answer while draining, so that clients move to another server."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if state.draining and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_closing)

    return closing


def _message(text: str) -> bytes:
    return orjson.dumps({"error": text})
