"""`python -m ops promote SOURCE TARGET`: the tested image of each model, copied to where the next stack finds it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.errors import BuildError, RegistryError
from ops import model_images, stack
from ops.engine import Engine, EngineError, environment, if_down
from ops.model_images import ModelImage
from ops.predict import UsageError
from ops.progress import Bytes
from ops.promotion import Promotion
from provider.errors import ProviderError

FAILED, USAGE, REFUSED = 1, 2, 3


@dataclass(frozen=True)
class Row:
    """One model before and after: what was running in the target, and bytes that had to be sent."""

    promotion: Promotion
    sent: int

    def values(self) -> dict[str, Any]:
        """Return it for a program."""
        found = self.promotion
        tests = {suite: {"ended": one.ended, "figures": dict(one.figures)} for suite, one in found.tested().items()}
        return {
            "before": None if found.before is None else _told(found.before),
            "after": _told(found.source),
            "bytes_sent": self.sent,
            "tests": tests,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="the stack whose images were tested by `ops test SOURCE`")
    parser.add_argument("target", metavar="TARGET", help="the stack that is to find them")
    parser.add_argument("--model", action="append", default=[], help="this model alone; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="check everything, and copy nothing")
    parser.add_argument("--up", action="store_true", help="`pulumi up` of TARGET after it")
    parser.add_argument("--yes", action="store_true", help="with --up: do not ask")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 done, 1 failed, 2 usage, 3 refused: every reason a line. With --up the engine's."""
    project = Path.cwd()
    try:
        promotions = _promotions(project, arguments)
        refused = [f"{one.model}: {lack}" for one in promotions for lack in one.lacks()]
        if refused:
            return _refuse(refused, arguments)
        rows = [_promoted(one, arguments) for one in promotions]
    except UsageError as error:
        return _fail(USAGE, error)
    except RegistryError as error:
        return _fail(FAILED, f"{error}{if_down(project, arguments.target)}")
    except (EngineError, BuildError, ProviderError) as error:
        return _fail(FAILED, error)
    _tell(rows, arguments)
    if not arguments.up or arguments.dry_run:
        return 0
    return stack.up(argparse.Namespace(stack=arguments.target, yes=arguments.yes, rest=[]))


def _promotions(project: Path, arguments: argparse.Namespace) -> list[Promotion]:
    if arguments.source == arguments.target:
        raise UsageError(f"TARGET: {arguments.target!r} is the source too; name another stack")
    for name in (arguments.source, arguments.target):
        stack.require_settings(project, name)
    origin, target = (
        Engine(project, name, environment(project, name)) for name in (arguments.source, arguments.target)
    )
    source = {name: one for name, one in model_images.of_state(origin.export()).items() if one.digest}
    stack.create_if_missing(target)
    print(f"preview of {arguments.target}, which tells the inputs that it asks for", file=sys.stderr, flush=True)
    planned = model_images.of_plan(target.plan())
    before = model_images.of_state(target.export())
    chosen = _chosen(arguments, source, planned)
    return [Promotion(project, arguments.source, source[one], planned[one], before.get(one)) for one in chosen]


def _chosen(
    arguments: argparse.Namespace, source: dict[str, ModelImage], planned: dict[str, ModelImage]
) -> Sequence[str]:
    for name in arguments.model:
        for which, models in ((arguments.source, source), (arguments.target, planned)):
            if name not in models:
                known = ", ".join(sorted(models)) or "none"
                raise UsageError(f"--model: {name!r} is no model of stack {which}, which has {known}; correct it")
    chosen = sorted(set(arguments.model)) or sorted(source.keys() & planned.keys())
    if not chosen:
        raise UsageError(
            f"stack {arguments.source} runs no model of stack {arguments.target}; run `make up "
            f"STACK={arguments.source}`, or name other stacks"
        )
    return chosen


def _promoted(promotion: Promotion, arguments: argparse.Namespace) -> Row:
    size = promotion.to_send()
    if not arguments.dry_run:
        with Bytes(f"{promotion.model}: copying") as progress:
            promotion.copy(progress.show)
    return Row(promotion, size)


def _told(image: ModelImage) -> dict[str, Any]:
    return {"digest": image.digest, "inputs": image.inputs, "metrics": dict(image.mapping("metrics"))}


def _refuse(refused: Sequence[str], arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps({"source": arguments.source, "target": arguments.target, "refused": refused}))
    for one in refused:
        print(f"refused: {one}", file=sys.stderr)
    return REFUSED


def _tell(rows: Sequence[Row], arguments: argparse.Namespace) -> None:
    if arguments.json:
        models = {one.promotion.model: one.values() for one in rows}
        told = {"source": arguments.source, "target": arguments.target, "copied": not arguments.dry_run}
        print(json.dumps({**told, "models": models}))
        return
    print(f"{'model':<16} {arguments.target + ' before':<20} {'after':<20} {'quality':<20} {'sent':>10}")
    for one in rows:
        print(_line(one))
    done = "nothing was copied (--dry-run)" if arguments.dry_run else "copied"
    print(f"{done}; `python -m ops up --stack {arguments.target}` rolls out", flush=True)


def _line(row: Row) -> str:
    found = row.promotion
    before = found.before if found.before is not None and found.before.digest else None
    shown = [_short(before.digest) if before else "none", _short(found.digest)]
    quality = " → ".join(_quality(one) for one in (before, found.source) if one is not None)
    return f"{found.model:<16} {shown[0]:<20} {shown[1]:<20} {quality:<20} {row.sent / 1e6:>7.1f} MB"


def _short(digest: str | None) -> str:
    return str(digest)[:19]


def _quality(image: ModelImage) -> str:
    metrics = image.mapping("metrics")
    found = next((metrics[name] for name in ("accuracy", "cosine") if name in metrics), None)
    return f"{found:.4f}" if isinstance(found, int | float) else "?"


def _fail(code: int, error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code
