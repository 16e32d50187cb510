"""What servers came to, as a table and a last line."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.gpu.models import NETS
from benchmarks.serve.wrk import Load


@dataclass(frozen=True)
class Level:
    """A load, and how many samples ran together on average."""

    load: Load
    batch: float


@dataclass(frozen=True)
class Turn:
    """A server's turn: seconds to its first right answer, bytes of memory, MiB of the GPU's, levels by connections."""

    seconds: float
    memory: float
    card: float
    levels: Mapping[int, Level]


@dataclass(frozen=True)
class Row:
    """The medians of a model on a device."""

    model: str
    device: str
    turn: Turn

    @classmethod
    def of(cls, model: str, device: str, turns: Sequence[Turn]) -> Row:
        """Return the row of a server's turns."""
        levels = {count: _median([turn.levels[count] for turn in turns]) for count in turns[0].levels}
        seconds, memory, card = (
            statistics.median(getattr(turn, one) for turn in turns) for one in ("seconds", "memory", "card")
        )
        return cls(model, device, Turn(seconds, memory, card, levels))

    def line(self) -> str:
        """Return the row as people read it."""
        turn = self.turn
        cells = "".join(
            f"{one.load.rate:>14.0f}{one.batch:>7.1f}{one.load.p50:>8.2f}{one.load.p99:>8.2f}"
            for one in turn.levels.values()
        )
        return f"{self.model:<18}{self.device:<6}{turn.seconds:>8.2f}{turn.memory / 1e6:>7.0f}{turn.card:>9.0f}{cells}"


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of all rows."""
    counts = list(rows[0].turn.levels)
    heads = "".join(f"{f'c={count}: req/s':>14}{'a run':>7}{'p50 ms':>8}{'p99 ms':>8}" for count in counts)
    return [f"{'':<24}{'start s':>8}{'MB':>7}{'GPU MiB':>9}{heads}", *(row.line() for row in rows)]


def last_line(rows: Sequence[Row], card: str, cores: int) -> str:
    """Return requests a second at the most connections on the GPU, each beside the CPU's."""
    count = max(rows[0].turn.levels)
    rates = {(row.model, row.device): row.turn.levels[count].load.rate for row in rows}
    told = []
    for model in NETS:
        found = [(rate, name) for (name, device), rate in rates.items() if device != "cpu" and name.startswith(model)]
        cpu = rates.get((model, "cpu"))
        if not found or cpu is None:
            told.append(f"{model} failed")
            continue
        best = max(found)
        told.append(f"{best[1]} {best[0]:.0f} req/s, {best[0] / cpu:.1f}x of {cores} cores ({cpu:.0f})")
    return f"serve on {card} c={count}: {'; '.join(told)}"


def _median(levels: Sequence[Level]) -> Level:
    fields = (statistics.median(getattr(one.load, field) for one in levels) for field in ("rate", "p50", "p99", "cpu"))
    return Level(Load(*fields), statistics.median(one.batch for one in levels))
