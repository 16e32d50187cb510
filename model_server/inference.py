"""One inference request from its body to its answer, whatever carried it: admitted, parsed, run, written, counted."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from model_server.admission import Admission
from model_server.answers import Answer, error_answer, written_answer
from model_server.batching import Job, Outcome
from model_server.errors import RequestError
from model_server.logs import LOGGER, write
from model_server.metrics import Counted, Metrics
from model_server.protocol import InferRequest, infer_response, parse_infer
from model_server.state import Served, State
from model_server.tensors import Array

T = TypeVar("T")

# Below this many bytes, parsing costs less than handing the work to a thread.
INLINE_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Inference:
    """Answers inference requests; `deadline` in seconds from when a request is whole."""

    state: State
    admission: Admission
    metrics: Metrics
    pool: Executor
    deadline: float

    def begin(
        self, served: Served, body: bytes, header_length: int | None, answered: Callable[[Answer], None]
    ) -> Job | None:
        """Call `answered` with the answer to a small request, now or from a later turn of the event loop.

        Returns what `abandon` takes where the client leaves before.
        """
        begun = time.perf_counter()
        counted = self.metrics.of(served.contract)
        try:
            self.admission.admit()
        except Exception as error:
            answered(self._counted(counted, begun, error_answer(error)))
            return None

        def done(outcome: Outcome) -> None:
            self.admission.release()
            answered(self._counted(counted, begun, _written(served, request, outcome)))

        try:
            add = served.require()
            request = parse_infer(served.contract, body, header_length)
            job = Job(request.inputs, request.outputs, self._latest(), done)
        except Exception as error:  # whatever it is, this request fails alone and is counted
            self.admission.release()
            answered(self._counted(counted, begun, error_answer(error)))
            return None
        add(job)
        return job

    def refuse(self, served: Served | None, error: RequestError, seconds: float) -> Answer:
        """Return the answer to a request that was never whole, after `seconds`."""
        counted = self.metrics.unknown() if served is None else self.metrics.of(served.contract)
        return self._counted(counted, time.perf_counter() - seconds, error_answer(error))

    def abandon(self, served: Served, job: Job) -> None:
        """Forget a job that `begin` returned, whose client is gone."""
        if job.answered:
            return
        self.admission.release()
        if served.batcher is not None:
            served.batcher.give_up(job)

    async def ask(self, served: Served, body: bytes, header_length: int | None) -> Answer:
        """Return the answer to a request of any size over HTTP."""
        parse = partial(parse_infer, served.contract, body, header_length)
        return written_answer(await self.compute(served, len(body), parse, partial(infer_response, served.contract)))

    async def compute(
        self,
        served: Served,
        size: int,
        parse: Callable[[], InferRequest],
        write: Callable[[InferRequest, list[Array]], T],
    ) -> T:
        """Return what `write` makes of the outputs; what is large (`size` bytes) is parsed and written on a thread."""
        self.admission.admit()
        try:
            served.require()
            request = await self._compute(size, parse)
            arrays = await self._run(served, request)
            size = sum(array.nbytes for array in arrays)
            return await self._compute(size, partial(write, request, arrays))
        finally:
            self.admission.release()

    async def counting(self, find: Callable[[], Served], work: Callable[[Served], Awaitable[Answer]]) -> Answer:
        """Return what `work` answers for the model that `find` finds, counted whatever the outcome."""
        begun = time.perf_counter()
        counted = self.metrics.unknown()
        try:
            served = find()
            counted = self.metrics.of(served.contract)
            answer = await work(served)
        except Exception as error:  # whatever it is, this request fails alone and is counted
            answer = error_answer(error)
        return self._counted(counted, begun, answer)

    async def _run(self, served: Served, request: InferRequest) -> list[Array]:
        future: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        job = Job(request.inputs, request.outputs, self._latest(), partial(_settle, future))
        served.require()(job)
        try:
            return await future
        except asyncio.CancelledError:
            if served.batcher is not None:
                served.batcher.give_up(job)
            raise

    async def _compute(self, size: int, work: Callable[[], T]) -> T:
        if size <= INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def _latest(self) -> float:
        return asyncio.get_running_loop().time() + self.deadline

    def _counted(self, counted: Counted, begun: float, answer: Answer) -> Answer:
        seconds = time.perf_counter() - begun
        code = answer.status
        counted.request(code, seconds)
        level = logging.DEBUG if code == 200 else logging.INFO if code < 500 else logging.WARNING
        if LOGGER.isEnabledFor(level):
            told = {"version": counted.version, "code": code, "seconds": round(seconds, 6)}
            write(level, "infer", model=counted.model, **told)
        return answer


def _written(served: Served, request: InferRequest, outcome: Outcome) -> Answer:
    if isinstance(outcome, Exception):
        return error_answer(outcome)
    try:
        return written_answer(infer_response(served.contract, request, outcome))
    except Exception as error:  # an answer that cannot be written is this request's error alone
        return error_answer(error)


def _settle(future: asyncio.Future[list[Array]], outcome: Outcome) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
