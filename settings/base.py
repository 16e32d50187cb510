"""What every room of a stack's settings is: frozen, strict, camelCase in YAML, and closed to unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|[MGT]i?)?$")]
Image = Annotated[str, Field(min_length=1)]
Word = Annotated[str, Field(pattern=r"^[!-&(-~]+$", max_length=200)]  # no blank, no quote
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
FACTORS = {"m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class SettingsError(Exception):
    """A stack's configuration cannot be used; the message is one line."""


class Frozen(BaseModel):
    """One mapping of a stack's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


class Resources(Frozen):
    """What one replica is given."""

    cpu_request: Quantity = "100m"
    cpu_limit: Quantity = "1"
    memory_request: Quantity = "192Mi"
    memory_limit: Quantity = "512Mi"


def amount(quantity: str) -> float:
    """Return what a quantity stands for: bytes, or cores."""
    number = quantity.rstrip("mkKMGTi")
    return float(number) * FACTORS.get(quantity.removeprefix(number), 1)
