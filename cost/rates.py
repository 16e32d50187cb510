"""By which prices a stack is counted: those of its settings, before those of the file that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cost import prices
from cost.prices import InstancePrice
from settings.base import SettingsError
from settings.policies import CostSettings

KEY = "modelstack:policies.cost"


@dataclass(frozen=True)
class Rates:
    """Prices of one currency."""

    currency: str
    monthly: Mapping[str, float]
    """What is counted → money a month."""
    instances: Mapping[str, InstancePrice]
    """Type of instance → what it has."""


def rates(cost: CostSettings, project: Path, region: str | None = None) -> Rates:
    """Return the prices that settings name; a file's path is one from `project`.

    Raises SettingsError where the file cannot be read, or is not of the stack's currency or `region`.
    """
    if cost.price_file is None:
        return Rates(cost.currency or "", cost.prices, {})
    try:
        file = prices.read(project / cost.price_file)
    except SettingsError as error:
        raise SettingsError(f"{KEY}.priceFile: {error}") from None
    if cost.currency not in (None, file.currency):
        raise SettingsError(
            f"{KEY}.currency: {cost.currency} is not that of {cost.price_file}, {file.currency}; write all in one"
        )
    if region not in (None, file.region):
        raise SettingsError(
            f"{KEY}.priceFile: {cost.price_file} has the prices of {file.region}, the stack lies in {region}; "
            f"run `python -m ops prices update --region {region}` and name that file"
        )
    return Rates(file.currency, {**file.monthly, **cost.prices}, file.instances)
