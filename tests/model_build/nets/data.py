"""scikit-learn's digits as pictures [n, 1, 8, 8], and as sequences of eight rows [n, 8, 8]."""

import numpy as np
from sklearn.datasets import load_digits

from model_build.data import Sources, Splits, shuffled


def pictures(sources: Sources) -> Splits:
    digits = load_digits()
    inputs = (digits.images / 16).astype(np.float32)[:, None]
    return shuffled(inputs, digits.target, seed=sources.seed, names=tuple("0123456789"))


def sequences(sources: Sources) -> Splits:
    digits = load_digits()
    inputs = (digits.images / 16).astype(np.float32)
    return shuffled(inputs, digits.target, seed=sources.seed, names=tuple("0123456789"))


def channels_last(sources: Sources) -> Splits:
    digits = load_digits()
    inputs = (digits.images / 16).astype(np.float32)[:, :, :, None]
    return shuffled(inputs, digits.target, seed=sources.seed, names=tuple("0123456789"))
