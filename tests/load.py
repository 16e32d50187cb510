"""Open-loop load: each request is sent when it is due, whatever came of those before, and its time counts from then."""

from __future__ import annotations

import asyncio
import re
import statistics
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import aiohttp
import urllib3

from tests.waiting import until

VERSION = re.compile(rb'"model_version":\s*"([^"]*)"')
PATIENCE_SECONDS = 30
FIRST = 10


@dataclass
class Load:
    """POST requests to one URL, and what came of each: its status, or what went wrong."""

    url: str
    body: bytes
    rate: float
    """Requests a second; it may be changed at any time."""
    answers: Counter[str] = field(default_factory=Counter)
    answered: list[str] = field(default_factory=list)
    """The model's version of each answer, in their order."""
    seconds: list[float] = field(default_factory=list)
    """Of each answer with status 200, from when its request was due."""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> Counter[str]:
        """What came of those that were not answered with status 200."""
        return self.answers - Counter({"200": self.answers["200"]})

    @property
    def versions(self) -> set[str]:
        """The versions of the model that answered."""
        return set(self.answered)

    def while_there(self, version: str) -> list[str]:
        """The answers from the first of a version to its last."""
        first = self.answered.index(version)
        last = len(self.answered) - self.answered[::-1].index(version)
        return self.answered[first:last]

    def told(self, event: str) -> str:
        """Return the line that tells of an event during which this was sent."""
        failed, total = self.failed.total(), self.answers.total()
        return f"{event}: {failed:,} of {total:,} requests failed, p99 {1000 * p99(self.seconds):.0f} ms"

    async def send(self) -> None:
        """Send until `ended`, and wait for what is under way."""
        clock = asyncio.get_running_loop().time
        due = clock()
        # As many connections as it takes; one that is idle ends before a gateway would end it.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as asked,
        ):
            for number in count():
                if self.ended.is_set():
                    return
                asked.create_task(self._ask(session, due, new=number % 2 == 0))
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - clock()))

    async def _ask(self, session: aiohttp.ClientSession, due: float, *, new: bool) -> None:
        # Kept connections meet the end of whom they lead to, new ones the choice of where they lead.
        headers = {"connection": "close"} if new else {}
        try:
            async with session.post(self.url, data=self.body, headers=headers) as answer:
                said = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.answers[repr(error)] += 1
            return
        self.answers[str(answer.status)] += 1
        if answer.status == 200:
            self.seconds.append(asyncio.get_running_loop().time() - due)
            self.answered += (found.decode() for found in VERSION.findall(said))


def _answers(url: str, body: bytes) -> bool:
    try:
        return urllib3.request("POST", url, body=body, retries=False, timeout=PATIENCE_SECONDS).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]


@contextmanager
def steady_load(url: str, body: bytes, rate: float) -> Iterator[Load]:
    """Keep sending for the length of a block, which begins when the first requests are answered."""
    # A Service that is new is known to the node a second after it has pods.
    until(lambda: _answers(url, body), "a first request is answered")
    load = Load(url, body, rate)
    sender = threading.Thread(target=lambda: asyncio.run(load.send()))
    sender.start()
    try:
        until(lambda: load.answers.total() > FIRST, "requests are answered")
        yield load
    finally:
        load.ended.set()
        sender.join()
