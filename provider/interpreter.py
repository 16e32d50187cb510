"""The build environment's interpreter, made on first use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from model_build.places import ROOT


async def build_interpreter(tell: Callable[[str], Awaitable[None]]) -> Path:
    """Return the interpreter."""
    return ROOT / ".venv-build/bin/python"
