"""Clients in a steady loop, which count what came of each request."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import urllib3

from tests.waiting import until

CLIENTS = 4
INFER = "/v2/models/digits/infer"
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
BODY = json.dumps({"inputs": [TENSOR]}).encode()
# As many samples as one run takes: no two of these are run together.
LARGE = json.dumps({"inputs": [{**TENSOR, "shape": [64, 1, 8, 8], "data": [0.0] * 64 * 64}]}).encode()


@dataclass
class Load:
    """What came of each request: its status, or what went wrong."""

    url: str
    pause: float = 0.02
    """Seconds between an answer and a client's next request."""
    body: bytes = BODY
    ended: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)

    def send(self) -> None:
        """Ask again and again over one connection, and never a second time for the same."""
        with urllib3.PoolManager(1, retries=False, timeout=30) as pool:
            while not self.ended.is_set():
                self.answers[self._once(pool)] += 1
                time.sleep(self.pause)

    def _once(self, pool: urllib3.PoolManager) -> str:
        try:
            return str(pool.request("POST", f"{self.url}{INFER}", body=self.body).status)
        except urllib3.exceptions.HTTPError as error:
            return repr(error)


@contextmanager
def steady_load(url: str, count: int = CLIENTS, body: bytes = BODY) -> Iterator[Load]:
    """Keep `count` clients asking for the length of a block."""
    load = Load(url, body=body)
    clients = [threading.Thread(target=load.send) for _ in range(count)]
    for one in clients:
        one.start()
    try:
        until(lambda: load.answers.total() > count, "requests are answered")
        yield load
    finally:
        load.ended.set()
        for one in clients:
            one.join()
