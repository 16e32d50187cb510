"""Networks for 28 x 28 digits, each [n, 1, 28, 28] in and ten logits out."""

from torch import nn


def build() -> nn.Module:
    """Return the plain convolutional network of the tutorials."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 12 * 12, 10),
    )


def teacher() -> nn.Module:
    """Return a network of two convolutions, which knows more than the plain one and is never served."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 4 * 4, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def student() -> nn.Module:
    """Return a network that strides where others pool: a seventh of the plain weights, an eighth of the products.

    Its normalization becomes part of its convolutions where it is served.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 10),
    )
