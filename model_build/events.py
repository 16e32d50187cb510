"""Progress, results and errors of a build: JSON lines for programs, a few lines or a bar for people."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TextIO

from model_build.places import cache_root

State = Literal["started", "running", "cached", "done"]


@dataclass(frozen=True)
class Progress:
    """How far a step is; `fraction` is 0 to 1, `seconds` since the step started."""

    step: str
    state: State
    fraction: float = 0.0
    seconds: float = 0.0
    detail: str = ""


class Sink(Protocol):
    """Takes what a build tells while it runs and at its end."""

    def progress(self, event: Progress) -> None:
        """Take one progress event."""

    def result(self, result: dict[str, Any]) -> None:
        """Take the result."""

    def error(self, kind: str, message: str) -> None:
        """Take the error that ended the build."""

    def close(self) -> None:
        """Leave the stream as it was found."""


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line."""

    stream: TextIO

    def progress(self, event: Progress) -> None:
        """Write a progress line."""
        self._write({"event": "progress", **asdict(event), "seconds": round(event.seconds, 3)})

    def result(self, result: dict[str, Any]) -> None:
        """Write the result line."""
        self._write({"event": "result", **result})

    def error(self, kind: str, message: str) -> None:
        """Write the error line."""
        self._write({"event": "error", "kind": kind, "message": message})

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, line: dict[str, Any]) -> None:
        self.stream.write(json.dumps(line, allow_nan=False) + "\n")
        self.stream.flush()


@dataclass(frozen=True)
class Lines:
    """Plain lines for a log: a step's start, end and nothing between."""

    stream: TextIO

    def progress(self, event: Progress) -> None:
        """Write a line for a step that started, ended or was cached."""
        if event.state != "running":
            self._write(f"{event.step:<12} {event.state:<8} {event.seconds:6.1f} s  {event.detail}")

    def result(self, result: dict[str, Any]) -> None:
        """Write the table of steps and where the result lies."""
        for line in summary(result):
            self._write(line)

    def error(self, kind: str, message: str) -> None:
        """Write the error."""
        self._write(f"error ({kind}): {message}")

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, line: str) -> None:
        self.stream.write(line.rstrip() + "\n")
        self.stream.flush()


def figures(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a row's size, accuracy (or cosine) and latency for people; empty where it has none."""
    size, latency = row["size"], row["latency_ms"]
    return (
        "" if size is None else f"{size / 1000:.1f} kB",
        quality(row),
        "" if latency is None else f"{latency:.3f} ms",
    )


def quality(row: Mapping[str, Any]) -> str:
    """Return how well a model answers, for people: accuracy as a percentage, else the cosine with its source."""
    if row.get("accuracy") is not None:
        return f"{row['accuracy']:.2%}"
    return "" if row.get("cosine") is None else f"{row['cosine']:.4f}"


def summary(result: dict[str, Any]) -> list[str]:
    """Return the lines that tell a person how the build went."""
    figure = "cosine" if any("cosine" in row for row in result["steps"]) else "accuracy"
    lines = [f"{'step':<12} {'state':<8} {'size':>10} {figure:>9} {'latency':>11} {'seconds':>8}"]
    for row in result["steps"]:
        size, accuracy, latency = figures(row)
        lines.append(
            f"{row['name']:<12} {row['state']:<8} {size:>10} {accuracy:>9} {latency:>11} {row['seconds']:>8.1f}"
        )
    lines.append(f"inputs   {result['inputs']}")
    lines.append(f"report   {cache_root() / (result['page'] or result['report'])}")
    lines.append(f"image    {result['image']}" if result["image"] else f"artifact {result['artifact']}")
    if result.get("runtime_image"):
        lines.append(f"runtime  {result['runtime_image']}")
    return lines


class Bar:
    """A bar a step on a terminal, from the first progress on."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # noqa: PLC0415 (a terminal alone needs rich)
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        self._console = Console(file=stream)
        self._bars = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self._console,
        )
        self._tasks: dict[str, Any] = {}

    def progress(self, event: Progress) -> None:
        """Move the step's bar."""
        self._bars.start()
        if event.step not in self._tasks:
            self._tasks[event.step] = self._bars.add_task(event.step, total=1.0, detail="")
        ended = event.state in ("cached", "done")
        detail = "cached" if event.state == "cached" else event.detail
        self._bars.update(self._tasks[event.step], completed=1.0 if ended else event.fraction, detail=detail)

    def result(self, result: dict[str, Any]) -> None:
        """Print the table of steps."""
        self.close()
        for line in summary(result):
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def error(self, kind: str, message: str) -> None:
        """Print the error."""
        self.close()
        self._console.print(f"error ({kind}): {message}", highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back."""
        if self._tasks:
            self._bars.stop()


def sink_for(*, as_json: bool, stream: TextIO = sys.stdout) -> Sink:
    """Return the sink for `stream`: JSON lines when asked, a bar on a terminal, plain lines elsewhere."""
    if as_json:
        return JsonLines(stream)
    return Bar(stream) if stream.isatty() else Lines(stream)


@dataclass(frozen=True)
class Reporter:
    """Progress of one step, with its clock."""

    sink: Sink
    step: str
    began: float

    @classmethod
    def start(cls, sink: Sink, step: str) -> "Reporter":
        """Start the clock of `step`; nothing is told yet."""
        return cls(sink, step, time.monotonic())

    @property
    def seconds(self) -> float:
        """Seconds since the step started."""
        return time.monotonic() - self.began

    def tell(self, state: State, fraction: float = 0.0, detail: str = "") -> None:
        """Tell how far the step is."""
        self.sink.progress(Progress(self.step, state, min(max(fraction, 0.0), 1.0), self.seconds, detail))
