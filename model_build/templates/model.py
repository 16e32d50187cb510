"""A small network for rows of numbers; put your own here."""

from torch import nn

FEATURES = 30
CLASSES = 2


def build() -> nn.Module:
    """Return the untrained network: [n, features] in, one logit a label out."""
    return nn.Sequential(
        nn.BatchNorm1d(FEATURES),
        nn.Linear(FEATURES, 32),
        nn.ReLU(),
        nn.Linear(32, CLASSES),
    )
