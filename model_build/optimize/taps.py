"""Reads what a layer inside a model gives, and brings it to another number of channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_build.errors import RecipeError


class Tap:
    """Keeps the last output of one layer."""

    def __init__(self, layer: nn.Module) -> None:
        layer.register_forward_hook(self._keep)

    @classmethod
    def on(cls, model: nn.Module, name: str, key: str) -> Tap:
        """Return a tap on a layer of `model`; raises RecipeError, with `key`, where there is none of that name."""
        known = [one for one, _ in model.named_modules() if one]
        if name not in known:
            raise RecipeError(f"{key}: {name!r} is no layer of the model, the limit is one of {known}; name one")
        return cls(model.get_submodule(name))

    @property
    def last(self) -> Tensor:
        """What the layer gave to the last batch."""
        return self._last

    def shape(self, model: nn.Module, sample: Tensor) -> tuple[int, ...]:
        """Return the shape of what the layer gives for `sample`."""
        with torch.no_grad():
            model(sample)
        return tuple(self.last.shape)

    def _keep(self, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        self._last: Tensor = output


class Projected(nn.Module):  # type: ignore[misc] # the checks run without torch
    """A student with a learned map from its channels, the second axis, to the teacher's."""

    def __init__(self, student: nn.Module, channels: int, wanted: int) -> None:
        super().__init__()
        self.student = student
        self.map = nn.Linear(channels, wanted)

    def forward(self, inputs: Tensor) -> Tensor:
        """Answer as the student does."""
        answers: Tensor = self.student(inputs)
        return answers

    def project(self, features: Tensor) -> Tensor:
        """Bring [n, channels, …] to [n, wanted, …]."""
        projected: Tensor = self.map(features.movedim(1, -1)).movedim(-1, 1)
        return projected
