"""scikit-learn's 1,797 handwritten digits, 8 x 8 pixels."""

import numpy as np
from sklearn.datasets import load_digits

from model_build.data import Sources, Splits, shuffled

BRIGHTEST = 16.0


def load(sources: Sources) -> Splits:
    """Return the digits as [n, 1, 8, 8] from 0 to 1; the last fifth after the shuffle is held out."""
    digits = load_digits()
    inputs = (digits.images / BRIGHTEST).astype(np.float32)[:, None]
    return shuffled(inputs, digits.target, seed=sources.seed, names=tuple("0123456789"))
