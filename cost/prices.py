"""A file of prices of AWS in one region, which `ops prices update` writes, or somebody by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from settings.base import Frozen, SettingsError
from settings.ecr import Region
from settings.node_pools import InstanceType
from settings.policies import Price

HOURS = 730
"""Hours of a month, as AWS' own calculator counts them (https://docs.aws.amazon.com/pricing-calculator/)."""
HEADER = (
    "# Prices of AWS, written by `python -m ops prices update`. A currency an hour, or a month, as each name says.\n"
)
UPDATE = "run `python -m ops prices update --region REGION --out FILE`"
# Unit price → what is counted by it, and how often a month holds the unit. Others hang on use, which nobody declares.
COUNTED: Mapping[str, tuple[str, int]] = {
    "eks_cluster_hour": ("aws:eks/cluster:Cluster", HOURS),
    "nat_gateway_hour": ("aws:ec2/natGateway:NatGateway", HOURS),
    "public_ipv4_hour": ("aws:ec2/eip:Eip", HOURS),
    "kms_key_month": ("aws:kms/key:Key", 1),
    "interface_endpoint_hour": ("interface-endpoint", HOURS),
    "network_load_balancer_hour": ("network-load-balancer", HOURS),
    "application_load_balancer_hour": ("application-load-balancer", HOURS),
    "gp3_gb_month": ("storage", 1),
}


class InstancePrice(Frozen):
    """A type of instance: its price an hour with Linux, and what it has."""

    hour: Price
    spot: Price | None = None
    vcpus: int = Field(ge=1, le=10_000)
    memory: float = Field(gt=0, le=1_000_000, description="GiB")
    gpus: int = Field(default=0, ge=0, le=64)


class UnitPrices(Frozen):
    """What one of each costs, without instances."""

    eks_cluster_hour: Price | None = None
    nat_gateway_hour: Price | None = None
    nat_gateway_gb: Price | None = None
    public_ipv4_hour: Price | None = None
    interface_endpoint_hour: Price | None = Field(default=None, description="in one zone")
    network_load_balancer_hour: Price | None = None
    application_load_balancer_hour: Price | None = None
    gp3_gb_month: Price | None = None
    ecr_gb_month: Price | None = None
    kms_key_month: Price | None = None


class Prices(Frozen):
    """Prices of one region, and where and when they were read."""

    version: Literal[1] = 1
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    region: Region
    fetched: Annotated[datetime, Field(strict=False)]
    source: str = Field(min_length=1, max_length=500)
    offers: dict[str, str] = Field(default={}, description="AWS' list of a service → its version")
    units: UnitPrices = UnitPrices()
    instances: dict[InstanceType, InstancePrice] = Field(default={})

    @property
    def monthly(self) -> dict[str, float]:
        """Return what is counted → money a month: of an instance type, with ` spot` after it of a spot instance, of a
        type of resource, of a GiB of `storage`.
        """
        found = {f"{name} spot": one.spot * HOURS for name, one in self.instances.items() if one.spot is not None}
        found |= {name: one.hour * HOURS for name, one in self.instances.items()}
        units = ((key, times, getattr(self.units, unit)) for unit, (key, times) in COUNTED.items())
        return found | {key: price * times for key, times, price in units if price is not None}


def read(path: Path) -> Prices:
    """Return the prices of a file of YAML or JSON; raises SettingsError in one line."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())  # noqa: S506 (a safe one)
        return Prices.model_validate(found)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); {UPDATE}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is no YAML ({' '.join(str(error).split())}); {UPDATE}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        shown = f"{first['input']!r}: " if first["type"] not in ("missing", "extra_forbidden") and first["loc"] else ""
        raise SettingsError(f"{path}: {key}: {shown[:200]}{first['msg'].lower()}; correct it, or {UPDATE}") from None


def _loader() -> Any:
    # A thousand types of instances take a quarter of a second in Python, and a third of that in C.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write(prices: Prices, path: Path) -> None:
    """Write prices in place of a file, whole or not at all; raises OSError."""
    values = prices.model_dump(mode="json", by_alias=True, exclude_none=True)
    values["instances"] = {name: values["instances"][name] for name in sorted(values["instances"])}
    text = HEADER + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=200)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
