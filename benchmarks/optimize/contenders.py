"""What is compared: each answers a batch, has a size, and took some seconds to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model_build.data import Inputs
from model_build.measure import AT_ONCE, Artifact
from model_build.tasks import Answers


@dataclass(frozen=True)
class Contender:
    """One way to answer; `seconds` is what making it took beside the training that all of them share."""

    name: str
    answer: Callable[[Inputs], Answers]
    size: int
    seconds: float | None

    def answer_all(self, inputs: Inputs) -> Answers:
        """Return the answers to every sample."""
        return np.concatenate([self.answer(inputs[at : at + AT_ONCE]) for at in range(0, len(inputs), AT_ONCE)])


def of_onnx(name: str, path: Path, seconds: float | None) -> Contender:
    """Return a model in onnxruntime on one thread."""
    return Contender(name, Artifact(path, threads=1).answer, path.stat().st_size, seconds)


def of_torch(name: str, model: nn.Module, size: int) -> Contender:
    """Return a model of torch, run as it is."""

    def answer(inputs: Inputs) -> Answers:
        with torch.inference_mode():
            answers: Answers = model(torch.from_numpy(inputs)).numpy()
        return answers

    return Contender(name, answer, size, None)
