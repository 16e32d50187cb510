"""The build environment is made in a thread of its own, with progress, and a cancelled provider ends the making."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from model_build import environment
from model_build.errors import EnvironmentFault
from provider.errors import CancelledError
from provider.interpreter import build_interpreter

Tell = Callable[[str], None]


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Callable[[Tell], Path]) -> None:
    """Put `make` in place of what makes the real environment, which takes minutes and 5 GB."""
    monkeypatch.setattr(environment, "build_interpreter", make)


async def test_progress_is_told_on_the_loop_while_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    goes_on = threading.Event()

    def make(tell: Tell) -> Path:
        threads.append(threading.current_thread())
        tell("installing the build environment")
        assert goes_on.wait(30)
        return Path("made/bin/python")

    async def tell(message: str) -> None:
        threads.append(threading.current_thread())
        assert message == "installing the build environment"
        asyncio.get_running_loop().call_later(0.01, goes_on.set)

    stand_in(monkeypatch, make)
    assert await build_interpreter(tell) == Path("made/bin/python")
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


async def test_what_tell_raises_stops_the_making(monkeypatch: pytest.MonkeyPatch) -> None:
    went_on = []

    def make(tell: Tell) -> Path:
        tell("installing")
        went_on.append("after")
        return Path("never")

    async def tell(message: str) -> None:
        raise CancelledError(f"cancelled while {message}")

    stand_in(monkeypatch, make)
    with pytest.raises(CancelledError, match="cancelled while installing"):
        await build_interpreter(tell)
    assert went_on == []


async def test_a_failure_to_make_it_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(tell: Tell) -> Path:
        raise EnvironmentFault("disk: 1 GB are free, the limit is 8 GB; free some space")

    async def tell(message: str) -> None:
        raise AssertionError(message)

    stand_in(monkeypatch, make)
    with pytest.raises(EnvironmentFault, match="free some space"):
        await build_interpreter(tell)
