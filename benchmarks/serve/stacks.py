"""Bare web stacks on the digits model: what the choice of this project's own was made from.

Each parses the JSON of a request, calls the session and writes the JSON of an answer; nothing is checked, counted or
batched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.environments import peer_python
from benchmarks.serve import asking
from benchmarks.serve.contenders import NEEDED_BYTES, Contender, Start
from model_build.places import ROOT

LOCK = Path(__file__).parent / "bare" / "bare.txt"
ASGI, RSGI = "benchmarks.serve.bare.asgi:app", "benchmarks.serve.bare.rsgi:app"
GRANIAN = ("granian", "--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--no-ws", "--no-log")
COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", "--loop", "uvloop", "--http", "httptools", "--log-level", "error", ASGI),
    "granian ASGI": (*GRANIAN, "--interface", "asgi", ASGI),
    "granian RSGI": (*GRANIAN, "--interface", "rsgi", RSGI),
}


def making(name: str, model: Path) -> Callable[[], Contender]:
    """Return what makes a stack's contender; it raises EnvironmentFault where the stack cannot be had."""

    def make() -> Contender:
        programs = peer_python(LOCK, NEEDED_BYTES).parent
        program, *arguments = COMMANDS[name]

        def start(port: int) -> Start:
            command: tuple[str | Path, ...] = (
                programs / program,
                *arguments,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            )
            return Start(command, {"DIGITS_MODEL": str(model), "PYTHONPATH": str(ROOT)})

        return Contender(name, start, asking.V2)

    return make
