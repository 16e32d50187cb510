"""Answers: JSON bodies, and one shape for every error: `{"error": "…"}`."""

import logging

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_server.errors import RequestError, RunError
from model_server.logs import LOGGER, write
from model_server.state import State


def json_answer(status: int, document: object) -> Response:
    """Return `document` as a JSON answer."""
    return Response(orjson.dumps(document), status, media_type="application/json")


def error_answer(error: Exception) -> Response:
    """Return the answer to a request that ended in `error`; what the client did not cause is logged."""
    if isinstance(error, RequestError):
        return _error(error.status, error.message, error.retry_after)
    if isinstance(error, RunError):
        write(logging.ERROR, "the model could not be run", error=str(error))
        return _error(500, f"the model could not be run on these inputs: {error}")
    LOGGER.error("internal error", exc_info=error)
    return _error(500, "internal error; the server's log says more")


async def on_error(_: Request, error: Exception) -> Response:
    """Answer an exception that a route raised."""
    return error_answer(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = {
        404: "no such path; GET /v2/models lists the models, POST /v2/models/<name>/infer asks one",
        405: f"{request.method} is not allowed here",
    }.get(status, "the request cannot be served")
    response = _error(status, message)
    for name, value in (getattr(error, "headers", None) or {}).items():
        response.headers[name] = value
    return response


def closing_while_draining(app: ASGIApp, state: State) -> ASGIApp:
    """Return `app` with `Connection: close` on every answer while draining, so that clients move to another server."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if state.draining and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_closing)

    return closing


def _error(status: int, message: str, retry_after: int | None = None) -> Response:
    response = json_answer(status, {"error": message})
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    return response
