"""What a stack may cost in AWS before somebody is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from settings.base import Frozen
from settings.notifications import Address

Money = Annotated[float, Field(gt=0, le=100_000_000, allow_inf_nan=False)]


class BudgetSettings(Frozen):
    """A budget of AWS for what bears the stack's tags."""

    monthly: Money
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="that of the account's bill")
    notify: tuple[Address, ...] = Field(min_length=1, max_length=10, description="who gets mail")
    anomaly: Money | None = Field(
        default=None,
        description="money above what was to be expected of which they are told; needs tags that are active",
    )
