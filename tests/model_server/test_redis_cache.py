"""Answers kept in a real Redis: shared by servers, and missed by nobody when it goes away."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis

from local import specs
from local.alone import free_port, serving
from local.roots import libraries, root
from local.steps import Steps
from model_build.places import cache_root
from model_server.redis_cache import RedisCache, packed, unpacked
from model_server.tensors import Array
from tests.model_server.running import Server, running, write_linear
from tests.model_server.test_infer import LINEAR, request

WORD = "a word of the test"


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[str]:
    """Yield the URL of a Redis on loopback that asks for a password; of the packages that its image is made of."""
    assert specs.REDIS.root
    tree = root(specs.REDIS.root, cache_root(), Steps())
    command: list[str | Path] = [tree / "usr/bin/redis-server", "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--requirepass", WORD, "--save", "", "--dir", folder]
    with serving(command, libraries(tree), f"127.0.0.1:{port}", folder / "redis.log"):
        yield f"redis://:{WORD.replace(' ', '%20')}@127.0.0.1:{port}/0"


def cached(folder: Path, url: str, seconds: str) -> AbstractContextManager[Server]:
    return running(folder / "models", MODELSTACK_REDIS_URL=url, MODELSTACK_REDIS_SECONDS=seconds)


def counted(server: Server, outcome: str) -> float:
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return next(
        float(line.split()[-1]) for line in lines if line.startswith("modelstack_cache_total") and outcome in line
    )


def ask(server: Server, first: float) -> list[float]:
    with server.client() as client:
        response = client.post(LINEAR, json=request(data=[first, 1, 2, 3]))
    assert response.status_code == 200, response.text
    found: list[float] = response.json()["outputs"][0]["data"]
    return found


def test_what_one_server_computed_another_answers(tmp_path: Path) -> None:
    write_linear(tmp_path / "models")
    with (
        redis_server(tmp_path, free_port()) as url,
        cached(tmp_path, url, "5") as one,
        cached(tmp_path, url, "5") as other,
    ):
        answer = ask(one, 7)
        with redis.Redis.from_url(url) as client:
            end = time.monotonic() + 30
            while not client.dbsize():
                assert time.monotonic() < end
                time.sleep(0.02)
        assert ask(other, 7) == answer
        assert (counted(one, "miss"), counted(other, "hit"), counted(other, "miss")) == (1, 1, 0)


def test_every_request_is_answered_while_redis_is_away(tmp_path: Path) -> None:
    write_linear(tmp_path / "models")
    port = free_port()
    with redis_server(tmp_path, port) as url:
        pass
    with cached(tmp_path, url, "0.5") as server:
        for at in range(20):
            ask(server, at)
        assert server.wait_for("redis is away; answers are computed")["level"] == "warning"
        with redis_server(tmp_path, port):
            end = time.monotonic() + 30
            while not any(line["message"] == "redis is back" for line in server.lines):
                ask(server, time.monotonic())
                assert time.monotonic() < end
        assert WORD not in str(server.lines)


async def test_a_redis_that_does_not_answer_costs_no_more_than_its_time() -> None:
    over = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    cache = RedisCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.05)
    assert await cache.get(b"key") is None
    assert not cache.usable()
    await cache.close()
    over.set()
    server.close()
    await server.wait_closed()


ARRAYS: list[Array] = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[True]]), np.zeros((0, 4), np.int64)]


def test_arrays_come_back_as_they_went_in() -> None:
    back = unpacked(packed(ARRAYS))
    assert back is not None
    for one, other in zip(back, ARRAYS, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xff\xff\xff",
        packed(ARRAYS)[:-1],
        packed(ARRAYS) + b"x",
        packed(ARRAYS).replace(b"<f4", b"|O8"),
        packed(ARRAYS).replace(b"[2,3]", b"[2,9]"),
        b"\x02\0\0\0{}",
        b"\x0a\0\0\0" + b'[["<f4",1]]'[:10],
    ],
)
def test_what_another_wrote_is_no_answer(value: bytes) -> None:
    assert unpacked(value) is None
