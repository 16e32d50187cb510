"""The settings of policies: which of their refusals a stack is let off, and what it may cost."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from settings.base import Frozen

Environment = Literal["dev", "test", "staging", "prod"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Price = Annotated[float, Field(ge=0, le=1_000_000, strict=False)]


class ExceptionSettings(Frozen):
    """Resources that one policy lets pass, and who reads it why."""

    policy: Name
    resource: str = Field(min_length=1, max_length=200, description="name of a resource, `*` and `?` as in a shell")
    reason: str = Field(min_length=10, max_length=500)


class CostSettings(Frozen):
    """By which prices a stack's cost is told, and what it may cost a month."""

    limit: Price | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    price_file: str | None = Field(
        default=None, min_length=1, description="what `ops prices update` wrote: a path from the project's folder"
    )
    prices: dict[str, Price] = Field(
        default={},
        min_length=1,
        description="a month: of `cpu` a core, `memory` and `storage` a GiB, else of one: a resource of pods "
        "(nvidia.com/gpu), an instance type, a type of resource; they go before those of the file",
    )

    @model_validator(mode="after")
    def _has_prices(self) -> Self:
        if not self.prices and self.price_file is None:
            raise ValueError("names no prices; set priceFile, or prices")
        return self


class PolicySettings(Frozen):
    """What the policy pack is told."""

    exceptions: tuple[ExceptionSettings, ...] = Field(default=(), max_length=100)
    cost: CostSettings | None = None


class ObjectiveSettings(Frozen):
    """How well a model must be served."""

    availability: float = Field(gt=0.5, lt=1, description="share of requests that end well")
    p99_seconds: float = Field(gt=0, le=60, description="99 of 100 are answered by then")


WORDS: tuple[tuple[str, Environment], ...] = (
    *(("prod", "prod"), ("production", "prod"), ("live", "prod")),
    *(("staging", "staging"), ("stage", "staging"), ("test", "test")),
)


def environment_of(stack: str) -> Environment:
    """Return what a stack is by its name: `prod`, `prod-eu` and `eu-production` are prod, `alice` is dev."""
    words = re.split(r"[^a-z]+", stack.lower())
    return next((environment for word, environment in WORDS if word in words), "dev")
