"""Batches: whose requests run together, and that none of them answers for another."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_server.batching import Batcher, Job, Outcome, Plan
from model_server.contract import load
from model_server.errors import RequestError, RunError
from model_server.runtime import Session
from tests.model_server.running import BIAS, WEIGHTS, write_free

INLINE = Plan(inline=True, most=8)
ELSEWHERE = Plan(inline=False, most=8)
Array = NDArray[Any]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Bench:
    """A batcher over a real session; `sizes` are the samples of each run."""

    def __init__(self, folder: Path, plan: Plan, pool: ThreadPoolExecutor, deadline: float = 60) -> None:
        self.session = Session(load(folder), 1, arena=True)
        self.sizes: list[int] = []
        self.batcher = Batcher(self.session, plan, pool, self.sizes.append, deadline=deadline)
        self.deadline = deadline

    def ask(self, **inputs: Array) -> Awaitable[list[Array]]:
        future: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            assert not future.done(), "answered twice"
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        outputs = self.session.contract.outputs
        self.batcher.add(Job(dict(inputs), outputs, asyncio.get_running_loop().time() + self.deadline, done))
        return future


def rows(count: int, first: float = 0) -> NDArray[np.float32]:
    return np.arange(count * 4, dtype=np.float32).reshape(count, 4) + np.float32(first)


@pytest.mark.parametrize("plan", [INLINE, ELSEWHERE])
async def test_each_gets_its_own_rows_of_the_batch(models: Path, pool: ThreadPoolExecutor, plan: Plan) -> None:
    bench = Bench(models / "linear", plan, pool)
    sent = [rows(count, first) for count, first in ((1, 0), (3, 5), (2, -7))]
    answers = await asyncio.gather(*[bench.ask(x=one) for one in sent])
    for one, (answer,) in zip(sent, answers, strict=True):
        np.testing.assert_allclose(answer, one @ WEIGHTS + BIAS, rtol=1e-5)
    assert bench.sizes == [6]


async def test_a_batch_holds_no_more_samples_than_pay(models: Path, pool: ThreadPoolExecutor) -> None:
    bench = Bench(models / "linear", INLINE, pool)
    await asyncio.gather(*[bench.ask(x=rows(3)) for _ in range(5)], bench.ask(x=rows(20)), bench.ask(x=rows(1)))
    assert bench.sizes == [7, 6, 3, 20]


async def test_what_arrives_while_a_batch_runs_elsewhere_is_the_next_one(
    models: Path, pool: ThreadPoolExecutor
) -> None:
    bench = Bench(models / "linear", ELSEWHERE, pool)
    first = bench.ask(x=rows(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [bench.ask(x=rows(1)) for _ in range(4)]
    await asyncio.gather(first, *others)
    assert bench.sizes == [1, 4]


async def test_samples_of_another_shape_run_apart(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    bench = Bench(write_free(tmp_path), INLINE, pool)
    sent = [np.ones((1, 3), np.float32), np.ones((1, 5), np.float32), np.ones((2, 3), np.float32)]
    answers = await asyncio.gather(*[bench.ask(x=one) for one in sent])
    assert [answer[0].shape for answer in answers] == [(1, 3), (1, 5), (2, 3)]
    assert bench.sizes == [3, 1]


async def test_one_bad_request_fails_by_itself(models: Path, pool: ThreadPoolExecutor) -> None:
    bench = Bench(models / "pair", INLINE, pool)
    two, three = np.ones((2, 2), np.float32), np.ones((3, 2), np.float32)
    good, bad, other = bench.ask(a=two, b=two), bench.ask(a=two, b=three), bench.ask(a=three, b=three)
    assert [one.shape for one in await good] == [(2, 2), (2, 2)]
    with pytest.raises(RunError):
        await bad
    assert [one.shape for one in await other] == [(3, 2), (3, 2)]


async def test_a_model_of_a_fixed_shape_runs_one_request_at_a_time(models: Path, pool: ThreadPoolExecutor) -> None:
    bench = Bench(models / "counting", ELSEWHERE, pool)
    asked = [bench.ask(times=np.array([at]), x=np.zeros((1, 1), np.float32)) for at in range(3)]
    assert [float(answer[0][0, 0]) for answer in await asyncio.gather(*asked)] == [0, 1, 2]
    assert bench.sizes == [1, 1, 1]


async def test_what_waited_past_its_deadline_is_told_so_and_not_run(models: Path, pool: ThreadPoolExecutor) -> None:
    bench = Bench(models / "linear", INLINE, pool, deadline=-1)
    with pytest.raises(RequestError, match="more waits than is run in") as caught:
        await bench.ask(x=rows(1))
    assert caught.value.status == 429
    assert bench.sizes == []


async def test_what_would_wait_too_long_is_refused_at_once_and_not_when_it_is_too_late(
    models: Path, pool: ThreadPoolExecutor
) -> None:
    bench = Bench(models / "counting", ELSEWHERE, pool, deadline=2)
    work = {"times": np.array([100_000]), "x": np.zeros((1, 1), np.float32)}
    await bench.ask(**work)
    asked = [bench.ask(**work) for _ in range(100)]
    with pytest.raises(RequestError, match="more waits than is run in"):
        bench.batcher.require_room()
    found = await asyncio.gather(*asked, return_exceptions=True)
    bench.batcher.require_room()
    refused = [one.status for one in found if isinstance(one, RequestError)]
    assert refused
    assert set(refused) == {429}
    assert isinstance(found[0], list)
    assert isinstance(await bench.ask(**work), list)


async def test_many_at_once_after_single_ones_are_not_refused_for_what_a_run_of_one_took(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        bench = Bench(models / "linear", ELSEWHERE, pool, deadline=4)
        real = bench.session.run

        def run_of_a_tenth_of_a_second(*given: Any) -> list[Array]:
            time.sleep(0.1)
            return real(*given)

        monkeypatch.setattr(bench.session, "run", run_of_a_tenth_of_a_second)
        for _ in range(3):
            await bench.ask(x=rows(1))
        # Eleven runs of eight, but eighty-eight times as long as one alone took.
        answers = await asyncio.gather(*[bench.ask(x=rows(1)) for _ in range(88)])
    assert len(answers) == 88
    assert bench.sizes == [1] * 3 + [8] * 11


async def test_a_run_that_nobody_waits_for_is_stopped(models: Path, pool: ThreadPoolExecutor) -> None:
    bench = Bench(models / "counting", ELSEWHERE, pool, deadline=0.3)
    endless = bench.ask(times=np.array([10**12]), x=np.zeros((1, 1), np.float32))
    with pytest.raises(RequestError, match=r"no answer within 0\.3 s"):
        await endless
    answer = await bench.ask(times=np.array([2]), x=np.zeros((1, 1), np.float32))
    assert answer[0].tolist() == [[2]]


async def test_a_model_that_holds_the_event_loop_up_moves_to_a_thread(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_server.batching.MOST_INLINE_SECONDS", 0)
    used: list[object] = []

    class Watched(ThreadPoolExecutor):
        def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
            used.append(work)
            return super().submit(work, *given, **named)

    pool = Watched(1)
    bench = Bench(models / "linear", INLINE, pool)
    for _ in range(5):
        await bench.ask(x=rows(1))
    assert used == []
    await bench.ask(x=rows(1))
    assert len(used) == 1
    pool.shutdown()
