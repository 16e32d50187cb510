"""`python -m ops logs`: what the containers of a stack's pods write, merged by time, in a colour a pod."""

from __future__ import annotations

import argparse
import heapq
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.engine import Engine, EngineError, environment
from ops.following import follow
from ops.pods import Line, NoLogError, Pods, PodsError, Source
from ops.stack import exists

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, NOTHING = 0, 1, 3
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AT_ONCE = 8
COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_red", "bright_cyan", "bright_green", "bright_magenta")
LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}

Show = Callable[[Line], None]


def merged(pods: Pods, sources: Iterable[Source], seconds: int | None, *, previous: bool) -> Iterator[Line]:
    """Yield the lines of every container in the order of their times; raises PodsError."""

    def read(source: Source) -> list[Line]:
        try:
            return list(pods.lines(source, seconds=seconds, previous=previous))
        except NoLogError as error:
            print(f"logs: {error}", file=sys.stderr)
            return []

    with ThreadPoolExecutor(AT_ONCE) as threads:
        written = list(threads.map(read, sources))
    yield from heapq.merge(*written, key=lambda line: line.time)


def parsed(text: str) -> Any:
    """Return a line's JSON object, or its text where it is none."""
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def told(log: Any) -> tuple[str, str]:
    """Return a line's level, empty where it has none, and its text for a person."""
    if not isinstance(log, dict):
        return "", _printable(str(log))
    level, message = str(log.get("level") or ""), log.get("message")
    rest = (f"{key}={_value(one)}" for key, one in log.items() if key not in ("time", "level", "logger", "message"))
    return level, " ".join([*([_printable(str(message))] if message else []), *rest])


def _value(value: Any) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[!-~]+", value)
    return str(value) if plain else json.dumps(value, ensure_ascii=True)


def _printable(text: str) -> str:
    # What a container writes must not move the terminal's cursor.
    return "".join(one if one.isprintable() or one == "\t" else f"\\x{ord(one):02x}" for one in text)


def shown_as_json(line: Line) -> None:
    """Print a line as one JSON object."""
    source = line.source
    known = {"time": line.time, "pod": source.pod, "container": source.container, "name": source.name}
    print(json.dumps({**known, "model": source.model, "log": parsed(line.text)}, ensure_ascii=False), flush=True)


class Printer:
    """Prints lines for a person; a pod keeps its colour."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._colours: dict[str, str] = {}

    def __call__(self, line: Line) -> None:
        """Print one line."""
        from rich.text import Text  # noqa: PLC0415

        pod = line.source.pod
        colour = self._colours.setdefault(pod, COLOURS[len(self._colours) % len(COLOURS)])
        level, text = told(parsed(line.text))
        marked = (f"{level} ", LEVELS.get(level, "dim")) if level else ("", "")
        time = line.time.partition("T")[2][:12]
        self._console.print(
            Text.assemble((time, "dim"), " ", (pod, colour), " ", marked, text), soft_wrap=True, highlight=False
        )


def _printer() -> Show:
    # A fifth of a second that --json need not spend.
    from rich.console import Console  # noqa: PLC0415

    return Printer(Console())


def seconds_of(text: str) -> int | None:
    """Return what a duration such as 10m stands for, None for `all`; raises PodsError."""
    if text == "all":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    if match is None:
        raise PodsError(f"--since: {text!r} is no duration; write 30s, 10m, 2h, 1d or all")
    return int(match[1]) * SECONDS[match[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model, or gateway, prometheus, …; default: all")
    parser.add_argument("--since", default="10m", metavar="DURATION", help="30s, 10m, 2h, 1d or all (default: 10m)")
    parser.add_argument("--follow", action="store_true", help="go on with what is written, of new pods too")
    parser.add_argument("--previous", action="store_true", help="of containers that were restarted, the run before")
    parser.add_argument("--grep-id", metavar="REQUEST_ID", help="only lines that hold this request's id")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.epilog = "Exit codes: 0 done, 1 failed, 3 nothing was written."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 where logs cannot be had, 3 where there is no line."""
    project, asked = Path.cwd(), arguments.grep_id
    try:
        if arguments.follow and arguments.previous:
            raise PodsError("--follow: a container of before writes no more; leave out --follow or --previous")
        seconds = seconds_of(arguments.since)
        pods = _pods(project, arguments.stack)
        show = shown_as_json if arguments.json else _printer()
        if arguments.follow:
            return follow(pods, arguments.model, seconds, lambda line: _pass(line, asked, show))
        sources = pods.sources(arguments.model, previous=arguments.previous)
        count = sum(_pass(line, asked, show) for line in merged(pods, sources, seconds, previous=arguments.previous))
    except (EngineError, PodsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # As of `| head`: what was asked for has been read.
        sys.stderr.close()
        return DONE
    return DONE if count else _nothing(arguments)


def _pods(project: Path, stack: str) -> Pods:
    engine = Engine(project, stack, environment(project, stack))
    if not exists(engine):
        raise EngineError(f"STACK: stack {stack!r} does not exist; bring it up, or name another")
    return Pods.of_state(engine.export(), project, stack)


def _pass(line: Line, asked: str | None, show: Show) -> bool:
    if asked is not None and asked not in line.text:
        return False
    show(line)
    return True


def _nothing(arguments: argparse.Namespace) -> int:
    of = f"{arguments.model} in stack {arguments.stack}" if arguments.model else f"stack {arguments.stack}"
    what = f"that holds {arguments.grep_id!r}" if arguments.grep_id else "at all"
    run_before = " by a container that was restarted" if arguments.previous else ""
    print(f"{of}: no line {what} in {arguments.since}{run_before}; try --since all", file=sys.stderr)
    return NOTHING
