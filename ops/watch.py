"""`python -m ops watch`: rounds of `ops predict` for some minutes after a deployment, for pipelines to act on."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ops import predict
from ops.engine import EngineError
from ops.least import Least
from ops.predict import UnreachableError, UsageError
from ops.samples import SamplesError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments: those of `predict`, and how long and how often."""
    predict.add_arguments(parser)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it is watched (default: 10)")
    parser.add_argument(
        "--every", type=float, default=30.0, metavar="SECONDS", help="from one round's end to the next (default: 30)"
    )
    parser.add_argument(
        "--failures", type=int, default=2, metavar="COUNT", help="rounds in a row that have to fail (default: 2)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch; returns 0 where all went well, else as `predict` does: 1 below the accuracy, 2 unreadable, 3 no answer."""
    try:
        _require_limits(arguments)
        asked = predict.limits(arguments)
        return watch(lambda: _round(arguments, asked), arguments)
    except (UsageError, SamplesError) as error:
        print(f"error: {error}", file=sys.stderr)
        return predict.USAGE


def watch(asked: Callable[[], int], arguments: argparse.Namespace) -> int:
    """Run rounds until the time is over, the last one at its end, or until `--failures` in a row have failed.

    Returns the exit code of the last round that counts.
    """
    until = time.monotonic() + arguments.minutes * 60
    failed = 0
    while True:
        code = asked()
        failed = failed + 1 if code else 0
        left = until - time.monotonic()
        if failed >= arguments.failures:
            print(f"error: stack {arguments.stack}: {failed} rounds in a row failed", file=sys.stderr)
            return code
        # A round that fails last is asked again: the time is not over while it is unknown whether it was the first.
        if left <= 0 and not failed:
            return code
        time.sleep(arguments.every if failed else max(0.0, min(arguments.every, left)))


def _round(arguments: argparse.Namespace, asked: Mapping[str, Least]) -> int:
    lines: list[str] = []
    try:
        found = predict.results_of(Path.cwd(), arguments, asked, lines.append)
    except (UnreachableError, EngineError) as error:
        # The backend of the stack's outputs may be away for a moment, too.
        print(f"{_clock()} {error}", file=sys.stderr, flush=True)
        return predict.UNREACHABLE if isinstance(error, UnreachableError) else predict.USAGE
    print(f"{_clock()} {'; '.join(lines)}", flush=True)
    return predict.judge(found)


def _require_limits(arguments: argparse.Namespace) -> None:
    if arguments.minutes < 0 or arguments.every < 0:
        raise UsageError("--minutes, --every: are below 0; name how long, and how often, from 0 on")
    if arguments.failures < 1:
        raise UsageError(f"--failures: {arguments.failures} is below 1; name how many rounds in a row have to fail")


def _clock() -> str:
    return time.strftime("%H:%M:%S")
