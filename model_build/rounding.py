"""Rounding to steps, which is what a quantizer does to weights."""

import numpy as np
from numpy.typing import NDArray


def to_steps(weights: NDArray[np.floating], step: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ŵ = round(w / α) · α for the step size α, which is above 0; halves go to the even neighbour.

    With α = 0.1, [[0.123, 0.456], [0.789, 1.234]] becomes [[0.1, 0.5], [0.8, 1.2]]. Raises ValueError for a step that
    is not above 0. `step` may hold one size a channel, shaped so that it broadcasts.
    """
    if not np.all(np.asarray(step) > 0):
        raise ValueError(f"step: {step} is not above 0; give the distance between two values that can be stored")
    rounded: NDArray[np.float64] = np.round(weights.astype(np.float64) / step) * step
    return rounded


def relative_error(weights: NDArray[np.floating], bits: int, axis: int | None) -> float:
    """Return how far symmetric integers of `bits` bits lie from `weights`, as a share of their L2 norm.

    `axis` is the one of channels, each with a step of its own; None is one step for all.
    """
    others = None if axis is None else tuple(one for one in range(weights.ndim) if one != axis)
    largest = np.abs(weights).max(axis=others, keepdims=axis is not None)
    step = np.maximum(largest / (2 ** (bits - 1) - 1), np.finfo(np.float32).tiny)
    norm = float(np.linalg.norm(weights))
    return float(np.linalg.norm(to_steps(weights, step) - weights)) / norm if norm else 0.0
