"""Follows the containers of a stack: those there are, and those that come."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable

from ops.pods import Line, NoLogError, NoPodError, Pods, PodsError, Source

POLL_SECONDS = 1.0
# Lines that arrive within it are put in order; a node may tell of a line that much later than another.
WINDOW_SECONDS = 0.5
UNANSWERED = 5


class _Following:
    """Reads each run of a container in a thread of its own, and shows lines in order from the caller's."""

    def __init__(self, pods: Pods, chosen: str | None, seconds: int | None) -> None:
        self._pods = pods
        self._chosen = chosen
        self._seconds = seconds
        self._began = time.time()
        self._lines: queue.Queue[Line] = queue.Queue()
        self._begun: set[Source] = set()
        self._ended = threading.Event()

    def until_interrupted(self, show: Callable[[Line], object]) -> None:
        """Show lines until the caller is interrupted; raises PodsError where the cluster is away for long."""
        looked, unanswered, arrived = 0.0, 0, 0.0
        waiting: list[Line] = []
        try:
            while True:
                if time.monotonic() - looked >= POLL_SECONDS:
                    unanswered = self._look(unanswered)
                    looked = time.monotonic()
                arrived = arrived if waiting else time.monotonic()
                waiting += self._arrived()
                if waiting and time.monotonic() - arrived >= WINDOW_SECONDS:
                    for line in sorted(waiting, key=lambda one: one.time):
                        show(line)
                    waiting = []
        finally:
            self._ended.set()

    def _arrived(self) -> list[Line]:
        found = []
        try:
            found.append(self._lines.get(timeout=WINDOW_SECONDS / 5))
            while True:
                found.append(self._lines.get_nowait())
        except queue.Empty:
            return found

    def _look(self, unanswered: int) -> int:
        """Begin to read what has come; returns how often in a row nobody answered."""
        try:
            sources = self._pods.sources(self._chosen)
        except NoPodError:
            # A model that was followed may have none for a while.
            if not self._begun:
                raise
            return 0
        except PodsError:
            if unanswered + 1 >= UNANSWERED:
                raise
            return unanswered + 1
        for source in sources:
            if source not in self._begun:
                self._begun.add(source)
                threading.Thread(target=self._follow, args=(source,), daemon=True).start()
        return 0

    def _follow(self, source: Source) -> None:
        last = ""
        while not self._ended.is_set():
            before = last
            try:
                for line in self._pods.lines(source, seconds=self._since(last), follow=True, ended=self._ended):
                    # A connection that broke is taken up again a little before it did.
                    if line.time > before:
                        self._lines.put(line)
                        last = line.time
                return
            except NoLogError as error:
                print(f"logs: {error}", file=sys.stderr)
                return
            except PodsError:
                self._ended.wait(POLL_SECONDS)

    def _since(self, last: str) -> int | None:
        if self._seconds is None:
            return None
        return self._seconds + round(time.time() - self._began) if last else self._seconds


def follow(pods: Pods, chosen: str | None, seconds: int | None, show: Callable[[Line], object]) -> int:
    """Show lines until interrupted, and return 0; raises PodsError."""
    with contextlib.suppress(KeyboardInterrupt):
        _Following(pods, chosen, seconds).until_interrupted(show)
    return 0
