"""Open-loop load: each request is sent when it is due, whatever came of those before, and its time counts from then."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx2

PATIENCE_SECONDS = 30.0
OK = "200"


@dataclass(frozen=True)
class Plan:
    """Requests a second, and for how many seconds."""

    rate: float
    seconds: float

    @property
    def requests(self) -> int:
        """How many there are."""
        return max(1, round(self.rate * self.seconds))


@dataclass(frozen=True)
class Load:
    """What came of the requests: how often each status or error, seconds of those with 200, versions that answered."""

    answers: Mapping[str, int]
    seconds: tuple[float, ...]
    versions: frozenset[str]

    @property
    def error_ratio(self) -> float:
        """Share of the requests that were not answered with 200."""
        total = sum(self.answers.values())
        return 1 - self.answers.get(OK, 0) / total if total else 1.0

    def percentile(self, percent: int) -> float | None:
        """Return a percentile of the seconds; None where fewer than two were answered."""
        if len(self.seconds) < 2:
            return None
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def values(self) -> dict[str, Any]:
        """Return the figures for a program."""
        found = {f"p{percent}_seconds": self.percentile(percent) for percent in (50, 99)}
        times = {name: None if value is None else round(value, 6) for name, value in found.items()}
        return {"requests": sum(self.answers.values()), "answers": dict(self.answers), **times} | {
            "error_ratio": round(self.error_ratio, 6)
        }


def send(
    url: str,
    headers: Mapping[str, str],
    bodies: Sequence[bytes],
    plan: Plan,
    told: Callable[[int], None] = lambda _sent: None,
) -> Load:
    """Send `plan` to `url`, the bodies in turn, and wait for what is under way; `told` gets how many are sent."""
    return asyncio.run(_Sender(url, dict(headers), bodies, plan, told).run())


class _Sender:
    def __init__(
        self, url: str, headers: dict[str, str], bodies: Sequence[bytes], plan: Plan, told: Callable[[int], None]
    ) -> None:
        self._url, self._headers, self._bodies, self._plan, self._told = url, headers, bodies, plan, told
        self._answers: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._versions: set[str] = set()

    async def run(self) -> Load:
        clock = asyncio.get_running_loop().time
        # As many connections as it takes: one that waits for another's answer would no longer be open loop.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=5.0)
        client = httpx2.AsyncClient(limits=limits, timeout=PATIENCE_SECONDS, headers=self._headers, trust_env=False)
        async with client, asyncio.TaskGroup() as asked:
            due = clock()
            for number in count():
                if number == self._plan.requests:
                    break
                asked.create_task(self._ask(client, due, self._bodies[number % len(self._bodies)]))
                self._told(number + 1)
                due += 1 / self._plan.rate
                await asyncio.sleep(max(0.0, due - clock()))
        return Load(dict(self._answers), tuple(self._seconds), frozenset(self._versions))

    async def _ask(self, client: httpx2.AsyncClient, due: float, body: bytes) -> None:
        try:
            answer = await client.post(self._url, content=body)
        except httpx2.HTTPError as error:
            self._answers[type(error).__name__] += 1
            return
        self._answers[str(answer.status_code)] += 1
        if answer.status_code == 200:
            self._seconds.append(asyncio.get_running_loop().time() - due)
            self._versions.add(_version(answer.content))


def _version(body: bytes) -> str:
    try:
        return str(json.loads(body).get("model_version", ""))
    except (ValueError, AttributeError):
        return ""
