"""Ten times what a server sustains, for a minute: what it answers meanwhile, and how soon it is as before."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp
import urllib3

from tests.load import Load, p99, steady_load
from tests.processes import peak, resident
from tests.waiting import until

TIMES = 10
SECONDS = 60
CLIENTS = 8
MEASURED_SECONDS = 5
AS_BEFORE_SECONDS = 10.0
SHED = {"429", "503"}


@dataclass(frozen=True)
class Overloaded:
    """What came of an overload."""

    sustained: float
    """Requests a second that were answered before it, to clients in a loop."""
    load: Load
    back: float
    """Seconds after it until requests were answered as before."""
    idle: int
    """Bytes of memory that the process held before it, at rest."""
    most: int
    """Bytes of memory that it held at most."""

    @property
    def asked(self) -> float:
        """How many times as much was asked for as is sustained."""
        return self.load.answers.total() / SECONDS / self.sustained

    @property
    def other(self) -> Counter[str]:
        """What is neither an answer nor a refusal that asks to come again."""
        return Counter({said: number for said, number in self.load.failed.items() if said not in SHED})

    def told(self, event: str) -> str:
        """Return the line that tells of it."""
        answers, load = self.load.answers, self.load
        shed = ", ".join(f"{answers[status]:,} refused with {status}" for status in sorted(SHED) if answers[status])
        return (
            f"{event}: {self.asked:.1f}x of {self.sustained:.0f} requests/s for {SECONDS} s, of {answers.total():,} "
            f"{answers['200']:,} answered (p99 {p99(load.seconds):.1f} s), {shed or 'none refused'}, "
            f"{self.other.total():,} otherwise; as before after {self.back:.1f} s; "
            f"memory {self.idle >> 20} MiB before, {self.most >> 20} MiB at most"
        )


def overload(url: str, body: bytes, process: int) -> Overloaded:
    """Measure what a process sustains, ask for ten times as much, and wait until it answers as before."""
    asyncio.run(_answered(url, body))  # its first requests are slower
    usual, rate, idle = _median(url, body), asyncio.run(_answered(url, body)), resident(process)
    with steady_load(url, body, TIMES * rate) as load:
        time.sleep(SECONDS)
        load.ended.set()
        ended = time.monotonic()
        until(lambda: _median(url, body) <= 2 * usual, "requests are answered as before", AS_BEFORE_SECONDS)
        back = time.monotonic() - ended
    return Overloaded(rate, load, back, idle, peak(process))


async def _answered(url: str, body: bytes) -> float:
    """Return the requests a second that clients in a loop get answered."""
    end = asyncio.get_running_loop().time() + MEASURED_SECONDS
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as clients:
        counts = [clients.create_task(_loop(session, url, body, end)) for _ in range(CLIENTS)]
    return sum(one.result() for one in counts) / MEASURED_SECONDS


async def _loop(session: aiohttp.ClientSession, url: str, body: bytes, end: float) -> int:
    number = 0
    while asyncio.get_running_loop().time() < end:
        async with session.post(url, data=body) as answer:
            await answer.read()
            assert answer.status == 200, answer.status
        number += 1
    return number


def _median(url: str, body: bytes) -> float:
    """Return the median seconds of requests one after the other; infinite where one is refused."""
    times = []
    with urllib3.PoolManager(1, retries=False, timeout=AS_BEFORE_SECONDS) as pool:
        for _ in range(9):
            began = time.monotonic()
            if pool.request("POST", url, body=body).status != 200:
                return float("inf")
            times.append(time.monotonic() - began)
    return statistics.median(times)
