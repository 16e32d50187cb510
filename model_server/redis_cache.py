"""Answers kept in Redis, for all servers of a model: what is not there, or not there in time, is computed.

Redis may go away at any moment; then requests are answered as if there were no cache, and after a pause it is tried
again. Nothing that Redis holds is run: arrays come back as a header of JSON and bytes.
"""

import asyncio
import logging
import math
from typing import Any

import numpy as np
import orjson
import redis.asyncio as client
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from model_server.logs import write
from model_server.tensors import NUMPY_TYPES, Array

KEEP_SECONDS = 24 * 3600
PAUSE_SECONDS = 1.0
MOST_AT_ONCE = 64
HEADER = 4
DTYPES = frozenset(np.dtype(one).str for one in NUMPY_TYPES.values() if one is not np.object_)


class RedisCache:
    """Arrays by key in the Redis of `url`; an answer that takes longer than `seconds` counts as none."""

    def __init__(self, url: str, seconds: float) -> None:
        self._redis = client.Redis.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0)
        )
        self._seconds = seconds
        self._paused_until = 0.0
        self._gone = False
        self._asked = 0
        self._puts: set[asyncio.Task[None]] = set()

    def usable(self) -> bool:
        """Return whether to ask at all: not while it is away, nor while it already has enough to do."""
        return self._asked < MOST_AT_ONCE and asyncio.get_running_loop().time() >= self._paused_until

    async def get(self, key: bytes) -> list[Array] | None:
        """Return what lies under `key`, None where nothing does, or nothing that can be read in time."""
        self._asked += 1
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._redis.get(b"modelstack:" + key)
        except (RedisError, OSError, TimeoutError) as error:
            self._pause(error)
            return None
        finally:
            self._asked -= 1
        self._back()
        return unpacked(found) if isinstance(found, bytes) else None

    def put(self, key: bytes, arrays: list[Array]) -> None:
        """Keep `arrays` under `key`; nobody waits for it."""
        if self.usable() and len(self._puts) < MOST_AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._put(key, packed(arrays)))
            self._puts.add(task)
            task.add_done_callback(self._puts.discard)

    async def close(self) -> None:
        """End the connections."""
        await self._redis.aclose()

    async def _put(self, key: bytes, value: bytes) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._redis.set(b"modelstack:" + key, value, ex=KEEP_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            self._pause(error)

    def _pause(self, error: Exception) -> None:
        self._paused_until = asyncio.get_running_loop().time() + PAUSE_SECONDS
        if not self._gone:
            write(logging.WARNING, "redis is away; answers are computed", error=str(error) or type(error).__name__)
        self._gone = True

    def _back(self) -> None:
        if self._gone:
            write(logging.INFO, "redis is back")
        self._gone = False


def packed(arrays: list[Array]) -> bytes:
    """Return `arrays` as a length, that many bytes of JSON with each one's type and shape, and their bytes."""
    header = orjson.dumps([[array.dtype.str, array.shape] for array in arrays])
    return b"".join([len(header).to_bytes(HEADER, "little"), header, *[array.tobytes() for array in arrays]])


def unpacked(value: bytes) -> list[Array] | None:
    """Return the arrays in `value`, None where it is not what `packed` makes."""
    end = HEADER + int.from_bytes(value[:HEADER], "little")
    try:
        found, at = [], end
        for dtype, shape in _told(orjson.loads(value[HEADER:end])):
            size = dtype.itemsize * math.prod(shape)
            found.append(np.frombuffer(value[at : at + size], dtype).reshape(shape))
            at += size
    except ValueError:
        return None
    return found if at == len(value) else None


def _told(header: Any) -> list[tuple[np.dtype[Any], list[int]]]:
    if not isinstance(header, list):
        raise ValueError("not a list")
    found = []
    for one in header:
        dtype, shape = one if isinstance(one, list) and len(one) == 2 else (None, None)
        if dtype not in DTYPES or not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("not a type and a shape")
        found.append((np.dtype(dtype), shape))
    return found
