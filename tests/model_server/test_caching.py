"""Answers kept: what counts as equal, what is forgotten, and what several equal requests at once cost."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_server.batching import Job, Outcome
from model_server.caching import CachedBatcher, Memory
from model_server.contract import TensorSpec
from model_server.errors import RequestError, RunError
from model_server.metrics import Counted
from tests.model_server.running import running, write_linear
from tests.model_server.test_infer import LINEAR, request

OUTPUTS = (TensorSpec("y", "FP32", (-1, 1)),)


class Bench:
    """A cache before a run that the test ends; `run` holds the jobs that came through."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.run: list[Job] = []
        self.counted = Counted("m", "1")
        self.memory = Memory(limit)
        self.cache = CachedBatcher("m/1", self.memory, self.run.append, self.counted)
        self.outcomes: list[Outcome] = []

    def ask(self, value: float, **changes: Any) -> Job:
        inputs = {"x": np.array([[value]], np.float32)}
        given: dict[str, Any] = {
            "inputs": inputs,
            "outputs": OUTPUTS,
            "deadline": 1.0,
            "done": self.outcomes.append,
        } | changes
        job = Job(**given)
        self.cache.add(job)
        return job


def answer(value: float, size: int = 1) -> list[NDArray[np.float32]]:
    return [np.full((1, size), value, np.float32)]


def test_equal_inputs_are_computed_once() -> None:
    bench = Bench()
    bench.ask(1)
    bench.run[0].finish(answer(7))
    bench.ask(1)
    assert len(bench.run) == 1
    assert [one[0].tolist() for one in bench.outcomes if isinstance(one, list)] == [[[7]], [[7]]]
    assert (bench.counted.hits, bench.counted.misses) == (1, 1)


def test_equal_inputs_that_arrive_together_are_computed_once() -> None:
    bench = Bench()
    for _ in range(3):
        bench.ask(1)
    assert len(bench.run) == 1
    bench.run[0].finish(answer(7))
    assert len(bench.outcomes) == 3


def test_other_values_shapes_types_and_outputs_are_not_equal() -> None:
    bench = Bench()
    bench.ask(1)
    bench.ask(2)
    bench.ask(1, inputs={"x": np.array([1], np.float32)})
    bench.ask(1, inputs={"x": np.array([[1065353216]], np.int32)})  # the same bytes
    bench.ask(1, inputs={"z": np.array([[1]], np.float32)})
    bench.ask(1, outputs=(TensorSpec("other", "FP32", (-1, 1)),))
    bench.ask(1, inputs={"x": np.array([["a", "b"]], np.object_)})
    bench.ask(1, inputs={"x": np.array([["a', 'b"]], np.object_)})
    assert len(bench.run) == 8


def test_an_error_is_not_kept() -> None:
    bench = Bench()
    bench.ask(1)
    bench.run[0].finish(RunError("no"))
    bench.ask(1)
    assert len(bench.run) == 2


def test_one_that_came_too_late_does_not_end_the_others() -> None:
    bench = Bench()
    bench.ask(1)
    bench.ask(1)
    bench.run[0].finish(RequestError(504, "late"))
    assert [type(one) for one in bench.outcomes] == [RequestError]
    bench.run[1].finish(answer(7))
    assert isinstance(bench.outcomes[1], list)


def test_what_was_not_asked_for_longest_is_forgotten_first() -> None:
    bench = Bench(limit=4000)  # room for some twenty answers of 4 bytes and what is kept of each
    for value in range(25):
        bench.ask(value)
        bench.run[-1].finish(answer(value))
    assert bench.memory.held <= bench.memory.limit
    bench.ask(24)
    assert len(bench.run) == 25
    bench.ask(0)
    assert len(bench.run) == 26


def test_an_answer_too_large_to_share_the_room_is_not_kept() -> None:
    bench = Bench(limit=4000)
    bench.ask(1)
    bench.run[0].finish(answer(1, size=100))
    assert bench.memory.held == 0


async def test_an_answer_does_not_keep_the_batch_that_it_was_part_of() -> None:
    bench = Bench()
    bench.ask(1)
    batch = np.zeros((1000, 1), np.float32)
    bench.run[0].finish([batch[:1]])
    await asyncio.sleep(0)
    (kept,) = bench.memory.entries.values()
    assert kept[0].base is None


def test_a_server_with_a_cache_answers_from_it_and_counts_so(tmp_path: Path) -> None:
    write_linear(tmp_path)
    with running(tmp_path, MODELSTACK_CACHE_BYTES="1000000") as server, server.client() as client:
        answers = [client.post(LINEAR, json=request() | {"id": name}).json() for name in ("a", "b")]
        assert answers[0].pop("id") == "a"
        assert answers[1].pop("id") == "b"
        assert answers[0] == answers[1]
        page = client.get("/metrics").text
    for outcome in ("hit", "miss"):
        assert f'modelstack_cache_total{{model="linear",outcome="{outcome}",version="0123456789ab"}} 1.0' in page
