"""The limits that gates hold figures to; told by numbers alone, so that whoever reads a report can hold it again."""

from collections.abc import Mapping
from typing import Any

_LEAST = (
    ("min_accuracy", "accuracy", "train longer, change the model, or quantize less"),
    ("min_cosine", "cosine", "quantize less, or another way"),
    ("min_agreement", "agreement", "quantize less, or another way"),
    ("min_speedup", "speedup", "leave the quantize step out, or take a smaller model"),
)
_MOST = (
    ("max_drop", "drop", "raise calibration_samples, or leave the quantize step out"),
    ("max_size_ratio", "size_ratio", "quantize, or raise the limit"),
    ("max_latency_ms", "latency_ms", "take a smaller model, or raise the limit"),
)


def limits(metrics: Mapping[str, Any], gates: Mapping[str, Any]) -> list[str]:
    """Return every limit that a figure misses; compared with `not (figure <= limit)`, so that NaN misses too."""
    misses = []
    for gate, figure, remedy in _LEAST:
        limit = gates.get(gate)
        if limit is not None and not metrics[figure] >= limit:
            misses.append(f"gates.{gate}: {figure} is {metrics[figure]:.4f}, the limit is at least {limit}; {remedy}")
    for gate, figure, remedy in _MOST:
        limit = gates.get(gate)
        if limit is not None and not metrics[figure] <= limit:
            misses.append(f"gates.{gate}: {figure} is {metrics[figure]:.4f}, the limit is at most {limit}; {remedy}")
    return misses
