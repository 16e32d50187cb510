"""569 measured cell nuclei, benign or malignant, that scikit-learn ships; put your own data here."""

import numpy as np
from sklearn.datasets import load_breast_cancer

from model_build.data import Sources, Splits, shuffled


def load(sources: Sources) -> Splits:
    """Return the rows as [n, 30]; the last fifth after the shuffle is held out."""
    found = load_breast_cancer()
    names = tuple(str(name) for name in found.target_names)
    return shuffled(found.data.astype(np.float32), found.target, seed=sources.seed, names=names)
