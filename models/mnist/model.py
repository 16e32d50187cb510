"""The plain convolutional network of the tutorials for 28 x 28 digits."""

from torch import nn


def build() -> nn.Module:
    """Return the untrained network: [n, 1, 28, 28] in, ten logits out."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 12 * 12, 10),
    )
