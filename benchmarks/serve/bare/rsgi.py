"""A bare application of RSGI, granian's own interface."""

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.serve.bare.digits import Digits

digits = Digits()


async def app(_: Any, protocol: Callable[[], Awaitable[bytes]]) -> None:
    """Answer any POST."""
    answer = digits.answer(await protocol())
    protocol.response_bytes(200, [("content-type", "application/json")], answer)  # type: ignore[attr-defined]
