"""Who runs when: a bound on requests admitted, and a few threads that compute off the event loop.

`Scheduler.infer` is where requests of several clients meet, so batching belongs behind it.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from model_server.contract import TensorSpec
from model_server.errors import RequestError
from model_server.tensors import Array

if TYPE_CHECKING:  # onnxruntime is imported while the server already answers probes
    from model_server.runtime import Run, Session

T = TypeVar("T")
RETRY_AFTER_SECONDS = 1


class Scheduler:
    """Admits at most `limit` requests at a time and computes them on `workers` threads."""

    def __init__(self, workers: int, limit: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="infer")
        self._limit = limit
        self._inflight = 0
        self._runs: set[Run] = set()

    def inflight(self) -> int:
        """Return the requests admitted and not ended."""
        return self._inflight

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places; raises RequestError (429) where all are taken."""
        if self._inflight >= self._limit:
            raise RequestError(
                429,
                f"{self._limit} requests are already in flight; try again later",
                retry_after=RETRY_AFTER_SECONDS,
            )
        self._inflight += 1
        try:
            yield
        finally:
            self._inflight -= 1

    async def compute(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread; where the caller is cancelled, work not begun is dropped."""
        return await self._follow(self._pool.submit(work))

    async def infer(self, session: "Session", inputs: dict[str, Array], outputs: tuple[TensorSpec, ...]) -> list[Array]:
        """Run the model on a thread; where the caller is cancelled, the run is stopped."""
        run = session.new_run()
        self._runs.add(run)
        try:
            return await self._follow(self._pool.submit(session.run, inputs, outputs, run))
        except asyncio.CancelledError:
            run.stop()
            raise
        finally:
            self._runs.discard(run)

    def close(self) -> None:
        """Stop what still runs and take nothing more."""
        for run in self._runs:
            run.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, future: Future[T]) -> T:
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                self._outlive(future)
            raise

    def _outlive(self, future: Future[T]) -> None:
        # The thread is still busy, so its place stays taken until it ends.
        loop = asyncio.get_running_loop()
        self._inflight += 1

        def end() -> None:
            self._inflight -= 1

        def ended(_: Future[T]) -> None:
            # The loop is gone where the run ends after the server did; nobody counts then.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end)

        future.add_done_callback(ended)
