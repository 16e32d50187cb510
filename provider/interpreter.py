"""The build environment's interpreter, made on first use beside the provider's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from model_build import environment


async def build_interpreter(tell: Callable[[str], Awaitable[None]]) -> Path:
    """Return the interpreter; what `tell` raises stops the work. Raises EnvironmentFault."""
    loop = asyncio.get_running_loop()

    async def told(message: str) -> None:
        await tell(message)

    def tell_from_thread(message: str) -> None:
        asyncio.run_coroutine_threadsafe(told(message), loop).result()

    return await asyncio.to_thread(environment.build_interpreter, tell_from_thread)
