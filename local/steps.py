"""Named steps with elapsed time: one live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Steps:
    """Prints what is done and how long it took, to standard error unless told otherwise."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run one named step; the line that ends it tells the seconds it took."""
        started = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(f"  {escape(name)} ...")
        try:
            with self._console.status(_Elapsed(name, started)):
                yield
        except BaseException:
            self._console.print(f"[red]✗[/] {escape(name)} failed after {_seconds(started)}")
            raise
        self._console.print(f"[green]✓[/] {escape(name)} {_seconds(started)}")

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(escape(line))


class _Elapsed:
    """A step's name with the seconds since it began, told anew each time it is drawn."""

    def __init__(self, name: str, started: float) -> None:
        self._name, self._started = name, started

    def __rich__(self) -> str:
        return f"{escape(self._name)} [dim]{_seconds(self._started)}[/]"


def _seconds(started: float) -> str:
    elapsed = time.monotonic() - started
    return f"{elapsed:.1f} s" if elapsed < 60 else f"{int(elapsed) // 60} min {int(elapsed) % 60} s"
