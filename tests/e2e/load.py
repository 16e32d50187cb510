"""Requests to a model of the digits kind through a stack's endpoint: on a schedule, or by clients in a loop."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import urllib3

from tests import load
from tests.load import Load
from tests.waiting import until

RATE = 40.0
INFER = "/v2/models/digits/infer"
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
BODY = json.dumps({"inputs": [TENSOR]}).encode()
# As many samples as one run takes: no two of these are run together.
LARGE = json.dumps({"inputs": [{**TENSOR, "shape": [64, 1, 8, 8], "data": [0.0] * 64 * 64}]}).encode()


def steady_load(url: str, model: str = "digits", rate: float = RATE) -> AbstractContextManager[Load]:
    """Ask a model, so often a second, for the length of a block."""
    return load.steady_load(f"{url}/v2/models/{model}/infer", BODY, rate)


@contextmanager
def clients_in_a_loop(url: str, count: int, body: bytes) -> Iterator[Counter[str]]:
    """Keep `count` clients asking, each as soon as it is answered; gives what came of the requests."""
    answers: Counter[str] = Counter()
    ended = threading.Event()

    def ask() -> None:
        with urllib3.PoolManager(1, retries=False, timeout=30) as pool:
            while not ended.is_set():
                answers[_once(pool, f"{url}{INFER}", body)] += 1

    with ThreadPoolExecutor(count) as threads:
        for _ in range(count):
            threads.submit(ask)
        try:
            until(lambda: answers.total() > count, "requests are answered")
            yield answers
        finally:
            ended.set()


def _once(pool: urllib3.PoolManager, url: str, body: bytes) -> str:
    try:
        return str(pool.request("POST", url, body=body).status)
    except urllib3.exceptions.HTTPError as error:
        return repr(error)
