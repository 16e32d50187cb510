"""The figures of one model's contenders, as rows of a table and as its last line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.optimize.contenders import Contender
from benchmarks.optimize.timing import Latency

EAGER, FP32, OURS = "torch eager fp32", "onnxruntime fp32", "modelstack"
HEADER = f"{'':<22}{'quality':>9}{'size':>7}{'p50 b1':>10}{'p99 b1':>10}{'p50 b32':>10}{'p99 b32':>10}{'build':>8}"


@dataclass(frozen=True)
class Row:
    """One contender: its task's figure on held-out samples, bytes, microseconds at batch 1 and 32, seconds to make."""

    name: str
    quality: float
    size: int
    one: Latency
    many: Latency
    seconds: float | None

    @classmethod
    def of(cls, contender: Contender, quality: float, one: Latency, many: Latency) -> Row:
        """Return the row of a contender."""
        return cls(contender.name, quality, contender.size, one, many, contender.seconds)


@dataclass(frozen=True)
class Found:
    """What was found of one model; `skipped` has a reason a peer."""

    model: str
    figure: str
    rows: tuple[Row, ...]
    skipped: dict[str, str]
    seeds: dict[int, float]

    def row(self, name: str) -> Row:
        """Return one contender's row."""
        return next(row for row in self.rows if row.name == name)

    @property
    def quality(self) -> float:
        """Ours: the median over seeds."""
        ordered = sorted(self.seeds.values())
        return ordered[len(ordered) // 2]

    def lines(self) -> list[str]:
        """Return the table."""
        size = self.row(FP32).size
        told = [f"{self.model}: {self.figure}, size against fp32, microseconds at batch 1 and 32, seconds", HEADER]
        for row in self.rows:
            times = f"{row.one.p50:>10.1f}{row.one.p99:>10.1f}{row.many.p50:>10.1f}{row.many.p99:>10.1f}"
            seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
            told.append(f"{row.name:<22}{self._shown(row.quality):>9}{row.size / size:>7.2f}{times}{seconds:>8}")
        told += [f"{name:<22}skipped: {reason}" for name, reason in self.skipped.items()]
        if len(self.seeds) > 1:
            told.append("seeds: " + ", ".join(f"{seed}: {self._shown(one)}" for seed, one in self.seeds.items()))
        return told

    def last_line(self) -> str:
        """Return the line that says what ours comes to."""
        ours, fp32, eager = (self.row(name) for name in (OURS, FP32, EAGER))
        figure = self._shown(self.quality).replace("%", " %")
        ratios = f"{eager.one.p50 / ours.one.p50:.1f}x torch {fp32.one.p50 / ours.one.p50:.1f}x ort"
        return f"{self.model}: {figure} {ours.size / fp32.size:.2f}x size {ratios}"

    def values(self) -> dict[str, Any]:
        """Return everything for a program."""
        return {**asdict(self), "line": self.last_line()}

    def _shown(self, quality: float) -> str:
        return f"{quality:.2%}" if self.figure == "accuracy" else f"{quality:.4f}"


def faster_peers(found: Found, within: float) -> Sequence[Row]:
    """Return the peers that are faster at batch 1 while no more than `within` worse."""
    ours = found.row(OURS)
    peers = [row for row in found.rows if row.name not in (EAGER, FP32, OURS)]
    return [row for row in peers if row.one.p50 < ours.one.p50 and row.quality >= ours.quality - within]
