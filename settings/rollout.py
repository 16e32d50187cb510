"""The settings of rollouts: how a model's new version takes the place of the one before, and who moves the traffic."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from settings.base import Frozen


class StepSettings(Frozen):
    """One step of a canary: the new version's share of the traffic, and for how long the golden set is sent to it."""

    weight: int = Field(ge=1, le=99)
    seconds: int = Field(default=60, ge=5, le=3600)


class RolloutSettings(Frozen):
    """How a new version takes the place of the one before, and what it must hold to."""

    strategy: Literal["rolling", "canary", "blueGreen"] = "rolling"
    steps: tuple[StepSettings, ...] = Field(default=(), max_length=10, description="of a canary")
    preview_seconds: int | None = Field(default=None, ge=5, le=3600, description="of blueGreen")
    max_error_ratio: float = Field(default=0.01, ge=0, le=1)
    max_p99_seconds: float = Field(default=1.0, gt=0, le=10)
    min_agreement: float = Field(
        default=0.75, gt=0, le=1, description="share of golden samples answered as stable does"
    )

    @property
    def by_controller(self) -> bool:
        """Whether Argo Rollouts moves the traffic, and not a Deployment."""
        return self.strategy != "rolling"

    @property
    def stages(self) -> tuple[StepSettings, ...]:
        """The steps, those of a canary that names none too; of blueGreen the one that comes before the switch."""
        if self.strategy == "canary":
            return self.steps or (StepSettings(weight=20), StepSettings(weight=50))
        return (StepSettings(weight=99, seconds=self.preview_seconds or 60),) if self.by_controller else ()

    @model_validator(mode="after")
    def _weights_rise(self) -> Self:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError(f"steps: weights {weights} do not rise; sort them")
        return self

    @model_validator(mode="after")
    def _fits_the_strategy(self) -> Self:
        own = {"steps": "canary", "preview_seconds": "blueGreen"}
        for key, strategy in own.items():
            if key in self.model_fields_set and strategy != self.strategy:
                raise ValueError(
                    f"{to_camel(key)}: is of strategy {strategy}, not {self.strategy}; remove one of the two"
                )
        return self


class ControllerSettings(Frozen):
    """The controller of canaries and blue-green rollouts, which a stack brings along where it needs one."""

    installed: bool = Field(
        default=False, description="whether the cluster has argo-rollouts already, for all namespaces"
    )
    definitions: str | None = Field(default=None, min_length=1, description="file or https URL of its install.yaml")
