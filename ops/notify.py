"""Tells people of what went wrong with a stack: `notify` for other commands, `python -m ops notify` for a pipeline.

What cannot be sent is told on standard error, and changes no exit code of the command that it is about.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ops import ways
from ops.engine import Engine, EngineError, document, environment
from ops.messages import TEST, TITLES, Event, Message, secrets_of
from ops.previews.secrets import Secrets
from settings import PREFIX, SettingsError, load_notifications
from settings.loading import NOTIFICATIONS

KEY = f"{PREFIX}{NOTIFICATIONS}"
SENT, NOT_SENT = 0, 1


def is_asked_for(project: Path, stack: str) -> bool:
    """Return whether a stack's settings may name anybody to tell; raises EngineError."""
    own, of_all = document(project / f"Pulumi.{stack}.yaml"), document(project / "Pulumi.yaml")
    # The project declares keys of its own namespace without it; a `value` for every stack may bear it.
    known = of_all.get("config") or {}
    declared = known.get(KEY, known.get(NOTIFICATIONS))
    default = (declared.get("default") or declared.get("value")) if isinstance(declared, dict) else declared
    # What lies in an environment of the Pulumi service cannot be seen from here.
    return bool(own.get("environment") or (own.get("config") or {}).get(KEY) or default)


def notify(engine: Engine, event: Event) -> bool:
    """Send an event to everyone whom the stack's settings name; returns whether all of it was sent, raises nothing."""
    try:
        if not is_asked_for(engine.project, engine.stack):
            return True
        config = json.loads(engine.on_stack("config", "--show-secrets", "--json"))
        told = config.get(KEY) or {}
        chosen = load_notifications(told.get("value") or "", engine.stack)
        if event.kind not in (*chosen.on, TEST) or not chosen.named:
            return True
        clean = replace(event, reason=Secrets.of(engine).hidden(event.reason))
        message = Message.of(clean, engine.project_name, engine.stack, secrets_of(config))
    except (EngineError, SettingsError, ValueError) as error:
        return _not_sent(str(error).splitlines())
    if not told.get("secret"):
        remedy = f"set them with `pulumi config set --secret --path {KEY}.…`"
        print(f"notification: {KEY} of stack {engine.stack} has its addresses in clear; {remedy}", file=sys.stderr)
    return _not_sent([f"{way}: {reason}" for way, reason in ways.send(chosen, message).items()])


def _not_sent(reasons: list[str]) -> bool:
    for one in reasons:
        print(f"notification: not sent: {one}", file=sys.stderr)
    return not reasons


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("reason", nargs="?", default="sent by hand", metavar="REASON")
    parser.add_argument("--kind", choices=sorted(TITLES), default=TEST, help=f"default: {TEST}")
    parser.epilog = "Exit codes: 0 sent to everyone whom the stack's settings name, 1 not."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 where something was not sent or nobody is named."""
    project = Path.cwd()
    try:
        if not is_asked_for(project, arguments.stack):
            raise EngineError(f"{KEY}: stack {arguments.stack!r} names nobody; set it (docs/operations.md)")
        engine = Engine(project, arguments.stack, environment(project, arguments.stack))
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_SENT
    return SENT if notify(engine, Event(arguments.kind, arguments.reason)) else NOT_SENT
