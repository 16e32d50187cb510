"""The engine's events of a preview, as it writes them to standard output one by one, and its mark of a secret."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from ops.engine import LAST_LINES, Engine, EngineError
from ops.events import Event

# With it `--json` of a preview is events; without it a digest, which lacks what a refresh has read.
STREAMING = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}
# How a state or an event marks a value as secret (pulumi/sdk/python/lib/pulumi/runtime/rpc.py).
MARK = "4dabf18193072939515e22adb298388d"  # pragma: allowlist secret
OF_SECRETS = "1b47061264138c4ac30d75fd1eb44270"  # pragma: allowlist secret


def events(engine: Engine, *arguments: str) -> list[Event]:
    """Return the events of a preview on the engine's stack; raises EngineError with the errors that resources told."""
    command = ["pulumi", *arguments, "--json", "--stack", engine.stack, "--non-interactive", "--color", "never"]
    own = {**engine.environment, **STREAMING}
    try:
        done = subprocess.run(command, cwd=engine.project, env=own, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EngineError("pulumi: is not on PATH; install it, or build it with `python -m local up`") from error
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        said = said_of(found, "error") or done.stderr.strip().splitlines()[-LAST_LINES:]
        raise EngineError(f"`pulumi {' '.join(arguments)}` of stack {engine.stack}: {'; '.join(said)}")
    return found


def said_of(found: Iterable[Event], severity: str) -> list[str]:
    """Return what was told at a severity, each on one line, once."""
    told = [one["diagnosticEvent"] for one in found if "diagnosticEvent" in one]
    lines = (" ".join(str(one["message"]).split()) for one in told if one["severity"] == severity)
    return list(dict.fromkeys(filter(None, lines)))


def is_secret(value: Any) -> bool:
    """Return whether a value of a state or an event is marked as secret."""
    return isinstance(value, Mapping) and value.get(MARK) == OF_SECRETS


def holds_secret(value: Any) -> bool:
    """Return whether a value, or anything in it, is marked as secret."""
    if isinstance(value, Mapping):
        return is_secret(value) or any(map(holds_secret, value.values()))
    return isinstance(value, list) and any(map(holds_secret, value))
