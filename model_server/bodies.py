"""Reading a request's body: bounded in size, in time, and in the memory that all bodies hold together."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from model_server.errors import RequestError

BODIES_AT_ONCE = 8


class BodyReader:
    """Reads bodies of at most `limit` bytes; those being read hold at most BODIES_AT_ONCE times that."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    async def read(self, request: Request, seconds: float) -> bytes:
        """Return the body; raises RequestError (408, 413, 415, 429)."""
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in {"", "identity"}:
            raise RequestError(415, f"content-encoding: {encoding[:40]!r} is not served; send the body as it is")
        if "inference-header-content-length" in request.headers:
            raise RequestError(400, "the binary tensor extension is not served; send JSON")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:18]) > self._limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(seconds):
                return await self._collect(request)
        except TimeoutError as error:
            raise RequestError(408, f"the body did not arrive within {seconds:g} s; send it faster") from error
        except ClientDisconnect as error:
            raise RequestError(400, "the client went away before the body's end") from error

    async def _collect(self, request: Request) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self._held += len(chunk)
                if size > self._limit:
                    raise self._too_large()
                if self._held > self._limit * BODIES_AT_ONCE:
                    raise RequestError(429, "too many large bodies at once; try again later", retry_after=1)
                chunks.append(chunk)
        finally:
            self._held -= size
        return b"".join(chunks)

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            f"the body is larger than {self._limit} bytes (MODELSTACK_MAX_BODY_BYTES); send fewer samples",
        )
