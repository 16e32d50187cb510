"""The settings of what makes a model's pods: objects of the stack itself, or KServe."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from settings.base import Frozen
from settings.exposure import ObjectName


class ServeSettings(Frozen):
    """What makes a model's pods."""

    by: Literal["stack", "kserve"] = "stack"
    nodes: int = Field(default=1, ge=1, le=16, description="pods that share the GPUs of one replica")
    runtime: ObjectName | None = Field(
        default=None, description="a ServingRuntime of the cluster; the one that KServe brings along where not given"
    )

    @property
    def by_kserve(self) -> bool:
        """Whether KServe's controller makes the pods."""
        return self.by == "kserve"

    @property
    def over_nodes(self) -> bool:
        """Whether one replica is several pods."""
        return self.nodes > 1

    @model_validator(mode="after")
    def _fits_who_serves(self) -> Self:
        for key in ("nodes", "runtime"):
            if key in self.model_fields_set and not self.by_kserve:
                raise ValueError(f"{key}: is of by: kserve, not by: {self.by}; remove it")
        return self


class KServeSettings(Frozen):
    """KServe, which makes pods of InferenceServices; a stack does not bring it along."""

    installed: bool = Field(default=False, description="whether the cluster has KServe, for all namespaces")
