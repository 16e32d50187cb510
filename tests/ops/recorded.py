"""Previews recorded from the real engine by tests/ops/record_previews.py."""

from __future__ import annotations

from pathlib import Path

from ops.previews.facts import Preview, Previews
from ops.previews.reading import events_of, read
from ops.previews.secrets import Secrets

FOLDER = Path(__file__).parent / "previews"
CANARY = "canary/of+the=house"
NOTHING = Secrets(frozenset())
CODES = {"failing": 1, "mandatory": 1}


def preview(name: str, secrets: Secrets = NOTHING) -> Preview:
    """Return what a recorded preview found."""
    return read(name, CODES.get(name, 0), events_of(FOLDER / f"{name}.jsonl"), secrets)


def previews(*names: str) -> Previews:
    """Return recorded previews under one name."""
    return Previews(name="tiny", previews=tuple(map(preview, names)))
