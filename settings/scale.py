"""The settings of scaling: between how many pods a model is served, and by what their number is chosen."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from settings.base import Frozen


class ScaleSettings(Frozen):
    """How many pods serve a model; the measure that asks for most of them decides."""

    min: int = Field(default=1, ge=0, le=100)
    max: int = Field(ge=1, le=100)
    cpu: int | None = Field(default=None, ge=1, le=10_000, description="percent of cpuRequest, the mean of all pods")
    waiting: int | None = Field(default=None, ge=1, le=10_000, description="requests not yet run, a pod")
    requests: int | None = Field(default=None, ge=1, le=1_000_000, description="requests a second, a pod")
    down_seconds: int = Field(default=300, ge=0, le=3600, description="the most asked for in this time stays")

    @property
    def by_series(self) -> bool:
        """Whether series of Prometheus count, which KEDA reads."""
        return self.waiting is not None or self.requests is not None

    @property
    def to_zero(self) -> bool:
        """Whether a model that nobody asks has no pod."""
        return self.min == 0

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self

    @model_validator(mode="after")
    def _is_measured(self) -> Self:
        if self.cpu is None and not self.by_series:
            raise ValueError("names nothing to measure; add cpu, waiting or requests")
        if self.to_zero and not self.by_series:
            raise ValueError(
                "min: 0 with cpu alone never wakes, no pod uses none; add waiting or requests, or set min: 1"
            )
        return self


class KedaSettings(Frozen):
    """KEDA, which scales by series of Prometheus; a stack does not bring it along, the embedded platform does."""

    installed: bool = Field(default=False, description="whether the cluster has KEDA, for all namespaces")
