"""Interpreters of other people's tools: an environment each, made on first use from a hashed lock."""

from __future__ import annotations

import sys
from pathlib import Path

from model_build.environment import Environment, interpreter
from model_build.places import ROOT


def peer_python(lock: Path, needed: int) -> Path:
    """Return the interpreter of the peer that `lock` is named after; raises EnvironmentFault.

    Making it takes `needed` free bytes; progress goes to standard error.
    """
    return python_of(f"the environment of {lock.stem}", f".venv-{lock.stem}", lock, needed)


def python_of(name: str, folder: str, lock: Path, needed: int) -> Path:
    """Return the interpreter of the environment `folder` in the checkout, as `peer_python` does."""
    own = Environment(name, folder, str(lock.relative_to(ROOT)), needed)
    return interpreter(own, lambda line: print(line, file=sys.stderr, flush=True))
