"""The figures of all servers as a table, as ratios, and as a last line."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.quiet import MOST
from benchmarks.serve.contenders import FASTAPI, OURS, PACKAGED
from benchmarks.serve.model import Floor
from benchmarks.serve.wrk import Load


@dataclass(frozen=True)
class Turn:
    """One turn of a server: seconds from start to first right answer, bytes of memory, loads by connections.

    `others` is the share of the machine that other programs took meanwhile.
    """

    seconds: float
    memory: int
    loads: Mapping[int, Load]
    others: float = 0.0


@dataclass(frozen=True)
class Row:
    """A server's medians over its turns; `others` is the most of them."""

    name: str
    seconds: float
    memory: float
    loads: Mapping[int, Load]
    others: float = 0.0

    @classmethod
    def of(cls, name: str, turns: Sequence[Turn]) -> Row:
        """Return the row of a server."""
        loads = {count: _median([turn.loads[count] for turn in turns]) for count in turns[0].loads}
        seconds = statistics.median(turn.seconds for turn in turns)
        memory = statistics.median(turn.memory for turn in turns)
        return cls(name, seconds, memory, loads, max(turn.others for turn in turns))


@dataclass(frozen=True)
class Found:
    """What was found; a floor was measured before each round, `skipped` has a reason a server."""

    floors: Sequence[Floor]
    rows: tuple[Row, ...]
    skipped: Mapping[str, str]

    @property
    def floor(self) -> Floor:
        """The median."""
        return Floor(*(statistics.median(getattr(one, field) for one in self.floors) for field in ("one", "many")))

    def row(self, name: str) -> Row | None:
        """Return a server's row, None where it was left out."""
        return next((row for row in self.rows if row.name == name), None)

    def lines(self) -> list[str]:
        """Return the table."""
        counts = list(self.rows[0].loads)
        heads = "".join(
            f"{f'c={count}: req/s':>15}{'floor':>7}{'p50 ms':>8}{'p99 ms':>8}{'cpu us':>8}" for count in counts
        )
        floor = f"{1e6 / self.floor.one:.0f} us a call, {shown(self.floor.one)} calls/s, {shown(self.floor.many)} at 64"
        return [
            f"serve digits, a core each for server and wrk; floor: {floor}",
            f"{'':<27}{'start s':>8}{'MB':>6}{heads}",
            *(self._line(row) for row in self.rows),
            *(f"{name:<27}skipped: {reason}" for name, reason in self.skipped.items()),
            *self._warning(),
        ]

    def last_line(self, name: str = OURS) -> str:
        """Return the line that says what a server comes to at the most connections."""
        own = self.row(name)
        if own is None:
            return f"serve digits: {name} skipped"
        count = max(own.loads)
        load = own.loads[count]
        told = [f"{shown(load.rate)} req/s", f"{load.rate / self.floor.one:.2f} of the floor"]
        packaged = [row for row in self.rows if row.name in PACKAGED]
        if packaged:
            best = max(packaged, key=lambda row: row.loads[count].rate)
            rate = best.loads[count].rate
            told.append(f"{load.rate / rate:.3g}x of the best packaged peer ({best.name} {shown(rate)})")
        if (by_hand := self.row(FASTAPI)) is not None:
            told.append(f"{load.rate / by_hand.loads[count].rate:.1f}x of FastAPI")
        told.append(f"p99 {load.p99:.3g} ms")
        if peers := [row for row in self.rows if row.name in (*PACKAGED, FASTAPI)]:
            told.append(f"peers' best p99 {min(row.loads[count].p99 for row in peers):.3g} ms")
        return f"serve digits c={count}: {', '.join(told)}"

    def values(self) -> dict[str, Any]:
        """Return everything for a program."""
        return {**asdict(self), "floor": asdict(self.floor), "line": self.last_line()}

    def _warning(self) -> list[str]:
        others = max([*(one.others for one in self.floors), *(row.others for row in self.rows)])
        told = f"warning: other programs took {others:.0%} of the machine meanwhile: these figures are worth little"
        return [told] if others > MOST else []

    def _line(self, row: Row) -> str:
        cells = "".join(
            f"{load.rate:>15.0f}{load.rate / self.floor.one:>7.2f}{load.p50:>8.2f}{load.p99:>8.2f}{load.cpu:>8.0f}"
            for load in row.loads.values()
        )
        return f"{row.name:<27}{row.seconds:>8.2f}{row.memory / 1e6:>6.0f}{cells}"


def shown(rate: float) -> str:
    """Return a rate as people read it."""
    return f"{rate / 1000:.1f}k"


def _median(loads: Sequence[Load]) -> Load:
    fields = (statistics.median(getattr(load, field) for load in loads) for field in ("rate", "p50", "p99", "cpu"))
    return Load(*fields)
