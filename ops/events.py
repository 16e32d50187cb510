"""The engine's events, as it logs them to a file: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]
# The command line shows `--event-log` to who says that it debugs alone; Pulumi's Automation API runs the engine so too.
ENVIRONMENT = {"PULUMI_DEBUG_COMMANDS": "true"}


def logged_to(log: Path) -> tuple[str, str]:
    """Return the arguments by which the engine logs its events to a file, run with ENVIRONMENT."""
    return "--event-log", str(log)


def of_log(log: Path) -> Iterator[Event]:
    """Yield the whole events of a log, as an engine that was killed leaves it too; none where there is no log."""
    if not log.exists():
        return
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue
