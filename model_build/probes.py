"""The batches, and where a model takes any length the lengths, at which an export has to agree with its source."""

from collections.abc import Mapping, Sequence

import numpy as np

from model_build.data import Inputs


def probes(inputs: Inputs, batches: Sequence[int], axes: Sequence[int]) -> Mapping[str, Inputs]:
    """Return the first samples, started over where there are fewer, at each batch and, along `axes`, at half length."""
    found: dict[str, Inputs] = {}
    for batch in batches:
        chosen = first(inputs, batch)
        found[f"batch-{batch}"] = chosen
        for axis in axes:
            half = max(1, chosen.shape[axis] // 2)
            found[f"batch-{batch}-axis-{axis}-length-{half}"] = cut(chosen, axis, half)
    return found


def first(inputs: Inputs, batch: int) -> Inputs:
    """Return a batch of the first samples, started over where there are fewer."""
    return np.ascontiguousarray(inputs[np.arange(batch) % len(inputs)])


def cut(inputs: Inputs, axis: int, length: int) -> Inputs:
    """Return the first `length` entries along `axis`."""
    return np.ascontiguousarray(np.take(inputs, np.arange(length), axis))
