"""Reading a request's body: bounded in size, in time, and in the memory that all bodies hold together."""

import asyncio
import zlib
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from model_server.answers import HEADER_LENGTH
from model_server.errors import RequestError, slow_body

BODIES_AT_ONCE = 8
# zlib's own way to say: a gzip or zlib header, whichever comes.
EITHER_HEADER = zlib.MAX_WBITS | 32
PIECE = 64 * 1024

Unpack = Callable[[bytes], bytes]


class BodyReader:
    """Reads bodies of at most `limit` bytes, unpacked; those being read hold at most BODIES_AT_ONCE times that."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    async def read(self, request: Request, seconds: float) -> bytes:
        """Return the body; raises RequestError (408, 413, 415, 429)."""
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in {"", "identity", "gzip", "deflate"}:
            raise RequestError(415, f"content-encoding: {encoding[:40]!r} is not served; use gzip, deflate or none")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:18]) > self._limit:
            raise self._too_large()
        packed = encoding in {"gzip", "deflate"}
        try:
            async with asyncio.timeout(seconds):
                return await self._collect(request, packed=packed)
        except TimeoutError as error:
            raise slow_body(seconds) from error
        except ClientDisconnect as error:
            raise RequestError(400, "the client went away before the body's end") from error

    async def _collect(self, request: Request, *, packed: bool) -> bytes:
        chunks: list[bytes] = []
        size = 0
        unpacker = zlib.decompressobj(EITHER_HEADER) if packed else None
        try:
            async for arrived in request.stream():
                for chunk in [arrived] if unpacker is None else _unpacked(unpacker, arrived, self._limit - size):
                    size += len(chunk)
                    self._held += len(chunk)
                    if size > self._limit:
                        raise self._too_large()
                    if self._held > self._limit * BODIES_AT_ONCE:
                        raise RequestError(429, "too many large bodies at once; try again later", retry_after=1)
                    chunks.append(chunk)
        finally:
            self._held -= size
        if unpacker is not None and (not unpacker.eof or unpacker.unused_data):
            raise RequestError(400, "the compressed body is cut short, or something follows its end")
        return b"".join(chunks)

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            f"the body is larger than {self._limit} bytes (MODELSTACK_MAX_BODY_BYTES); send fewer samples",
        )


def header_length(request: Request, body: bytes) -> int | None:
    """Return the length of the JSON before tensors' bytes, None where all is JSON; raises RequestError (400)."""
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) > len(body):
        raise RequestError(
            400, f"Inference-Header-Content-Length: {text[:40]!r} is not a length from 0 to the body's {len(body)}"
        )
    return int(text)


def _unpacked(unpacker: "zlib._Decompress", arrived: bytes, room: int) -> list[bytes]:
    """Return what `arrived` unpacks to, in pieces, and no more than one piece beyond `room` bytes."""
    found: list[bytes] = []
    left = room
    try:
        while arrived and left >= 0 and not unpacker.eof:
            found.append(unpacker.decompress(arrived, PIECE))
            left -= len(found[-1])
            arrived = unpacker.unconsumed_tail
    except zlib.error as error:
        raise RequestError(400, f"the compressed body cannot be unpacked ({error})") from error
    return found
