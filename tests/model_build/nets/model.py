"""The kinds of networks that people bring, each small enough to train in seconds."""

import torch
from torch import Tensor, nn

WIDTH = 32


class Block(nn.Module):
    """A residual block (arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, picture: Tensor) -> Tensor:
        return torch.relu(self.path(picture) + self.skip(picture))


def resnet() -> nn.Module:
    stem = (nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(
        *stem, Block(16, 16, 1), Block(16, WIDTH, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10)
    )


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    ends = (nn.Flatten(), nn.Linear(32 * 4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))
    return nn.Sequential(*layers, *ends)


class Recurrent(nn.Module):
    """Rows in, the last state's logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, WIDTH, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * WIDTH, 10)

    def forward(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.head(self.lstm(rows)[0].mean(1))
        return logits


def lstm() -> nn.Module:
    return Recurrent()


class Encoder(nn.Module):
    """Rows in, the mean token's logits out (arXiv:1706.03762)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.places = nn.Parameter(torch.randn(8, WIDTH) * 0.1)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, rows: Tensor) -> Tensor:
        tokens = self.embed(rows) + self.places[: rows.shape[1]]
        logits: Tensor = self.head(self.layers(tokens).mean(1))
        return logits


def transformer() -> nn.Module:
    return Encoder()


def fixed() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
