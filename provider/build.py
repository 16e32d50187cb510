"""Runs `python -m model_build build` in the build environment, one at a time, with progress on the resource's row."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_build.locks import try_lock
from model_build.places import ROOT, cache_root
from provider.errors import CancelledError, ProviderError

GUARD = Path(__file__).with_name("guard.py")
# A running step is told this often at most; a log without a terminal keeps every line.
TELL_SECONDS = 0.5
WAIT_SECONDS = 0.5
LINE_LIMIT = 4 * 1024 * 1024
KEPT_LINES = 20
BAR_CELLS = 12
# What belongs to the engine is none of a build's business. A cloud's variables stay, for a credential helper may need
# them to push; the worker, which runs the model's code, sees none of either.
WITHHELD = ("PULUMI_", "KUBECONFIG", "GRPC_")

Tell = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Order:
    """What to build, where to push it, and the private key (a file or `env://NAME`) that signs it."""

    recipe: Path
    destination: str
    base: str
    docker_config: Path | None = None
    key: str | None = None

    def arguments(self) -> list[str]:
        """Return the arguments of model_build's command line."""
        return [
            *("build", "--recipe", str(self.recipe)),
            *("--push", self.destination, "--base", self.base),
            *(("--key", self.key) if self.key is not None else ()),
            "--json",
        ]


@dataclass
class Builder:
    """Builds of this provider; `cancel` ends the one that runs and refuses the ones that wait."""

    interpreter: Callable[[Tell], Awaitable[Path]]
    _running: set[asyncio.subprocess.Process] = field(default_factory=set)
    _cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def build(self, order: Order, tell: Tell) -> dict[str, Any]:
        """Return the build's result event; raises ProviderError with the build's own message."""
        async with _turn(tell, self._cancelled):
            python = await self.interpreter(self._unless_cancelled(tell))
            self._refuse_if_cancelled()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(GUARD), str(python), "-P", "-m", "model_build", *order.arguments()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(order),
                start_new_session=True,
                limit=LINE_LIMIT,
            )
            self._running.add(process)
            try:
                return await self._follow(process, tell)
            finally:
                self._running.discard(process)
                await _end(process)

    def cancel(self) -> None:
        """End what runs; every build from now on is refused."""
        self._cancelled.set()
        for process in self._running:
            _close_input(process)

    async def _follow(self, process: asyncio.subprocess.Process, tell: Tell) -> dict[str, Any]:
        said = asyncio.create_task(_last_lines(process))
        outcome = await _events(process, tell)
        code = await process.wait()
        lines = await said
        self._refuse_if_cancelled()
        if outcome.get("event") == "result" and code == 0:
            return outcome
        if outcome.get("event") == "error":
            raise ProviderError(str(outcome.get("message")))
        last = lines[-1] if lines else "nothing was printed"
        raise ProviderError(f"model_build: ended with exit code {code} and no result ({last}); run the build by hand")

    def _unless_cancelled(self, tell: Tell) -> Tell:
        """Return a `tell` that raises once this builder is cancelled, which ends what waits for it."""

        async def told(message: str) -> None:
            self._refuse_if_cancelled()
            await tell(message)

        return told

    def _refuse_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("model_build: the build was cancelled; nothing was recorded, run `pulumi up` again")


async def _events(process: asyncio.subprocess.Process, tell: Tell) -> dict[str, Any]:
    """Return the last result or error event; progress is told on the way."""
    outcome: dict[str, Any] = {}
    loop = asyncio.get_running_loop()
    shown, told_at = "", float("-inf")
    async for event in _lines(process):
        if event.get("event") in ("result", "error"):
            outcome = event
            continue
        message = progress_line(event)
        early = event.get("state") == "running" and loop.time() - told_at < TELL_SECONDS
        if message == shown or early:
            continue
        shown, told_at = message, loop.time()
        await tell(message)
    return outcome


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None  # noqa: S101 (made with a pipe above)
    async for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def progress_line(event: dict[str, Any]) -> str:
    """Return one progress event as a line with a bar."""
    step, state, detail = (str(event.get(key) or "") for key in ("step", "state", "detail"))
    if state == "cached":
        return f"{step}: cached"
    if state == "done":
        return f"{step}: done in {float(event.get('seconds') or 0):.1f} s"
    fraction = min(max(float(event.get("fraction") or 0), 0.0), 1.0)
    full = round(fraction * BAR_CELLS)
    bar = "█" * full + "░" * (BAR_CELLS - full)
    return f"{step} {bar} {fraction:4.0%}  {detail}".rstrip()


async def _last_lines(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stderr is not None  # noqa: S101 (made with a pipe above)
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    while block := await process.stderr.read(65536):
        kept.extend(line.strip() for line in block.decode(errors="replace").splitlines() if line.strip())
    return list(kept)


def _environment(order: Order) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(WITHHELD)}
    if order.docker_config is not None:
        kept["DOCKER_CONFIG"] = str(order.docker_config)
    return {**kept, "PYTHONPATH": str(ROOT)}


def _close_input(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Have the guard end what is left, then wait for it, even where this task was itself cancelled."""
    _close_input(process)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.shield(process.wait())


@asynccontextmanager
async def _turn(tell: Tell, cancelled: asyncio.Event) -> AsyncIterator[None]:
    """Hold this machine's one place for a build: two trainings at once would each take twice as long."""
    path = cache_root() / "locks" / "build"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        await _lock(handle, tell, cancelled)
        yield
    finally:
        os.close(handle)


async def _lock(handle: int, tell: Tell, cancelled: asyncio.Event) -> None:
    waited = False
    while not cancelled.is_set():
        if try_lock(handle):
            return
        if not waited:
            await tell("waiting for another build on this machine")
        waited = True
        await asyncio.sleep(WAIT_SECONDS)
