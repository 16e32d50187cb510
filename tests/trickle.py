"""`python -m tests.trickle HOST PORT COUNT PATH`: connections whose requests arrive a byte a second, until it is ended.

A third of them never end their headers, a third never a small body, a third never a large one. One that is closed is
made again at once.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PACE_SECONDS = 1.0
MADE = "made"
PASSED_ON = 80 << 10


async def _trickle(host: str, port: int, begin: bytes, made: asyncio.Semaphore) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            made.release()
            try:
                writer.write(begin)
                while not reader.at_eof():
                    writer.write(b"x")
                    await writer.drain()
                    with suppress(TimeoutError):
                        # What is said is read until the end, as a client does.
                        await asyncio.wait_for(reader.read(4096), PACE_SECONDS)
            finally:
                writer.close()
        await asyncio.sleep(0)


async def _run(host: str, port: int, number: int, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\n"
    body = f"{head}content-length: {{}}\r\n\r\n"
    # The last is more than the gateway keeps, and so on its way to a pod.
    begins = (
        f"{head}x-slow: ".encode(),
        body.format(1000).encode(),
        body.format(1000000).encode() + b" " * PASSED_ON,
    )
    made = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as clients:
        for index in range(number):
            clients.create_task(_trickle(host, port, begins[index % len(begins)], made))
        for _ in range(number):
            await made.acquire()
        sys.stdout.write(f"{MADE}\n")
        sys.stdout.flush()


@contextmanager
def trickling(url: str, number: int) -> Iterator[None]:
    """Keep so many connections trickling for the length of a block, which begins when all are made."""
    at = urlsplit(url)
    command = [sys.executable, "-m", "tests.trickle", str(at.hostname), str(at.port), str(number), at.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == MADE
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
