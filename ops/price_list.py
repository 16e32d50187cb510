"""AWS' public price list, read without credentials: of each service the file of one region, row by row.

What is read is the Price List Bulk API's: an index of regions a service, which names the newest file of a region, as
CSV where `.json` is replaced by `.csv`
(https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api-fetching-price-list-files-manually.html).
Rows are read as they come, and no file is kept.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from model_build.oci.auth import is_loopback
from ops.ways import proxy_of

PUBLIC = "https://pricing.us-east-1.amazonaws.com"
EC2 = "AmazonEC2"
TIMEOUT = urllib3.Timeout(connect=10.0, read=60.0)
AGAIN = urllib3.Retry(total=3, redirect=0, backoff_factor=0.5, status_forcelist=(502, 503, 504), raise_on_status=False)
LONGEST_INDEX = 4 * 2**20
CHUNK = 2**20
NEEDED = ("TermType", "PricePerUnit", "Currency", "StartingRange", "Product Family", "Location Type", "usageType")
OF_INSTANCES = ("Instance Type", "vCPU", "Memory", "Operating System", "Tenancy", "Pre Installed S/W", "CapacityStatus")
OPTIONAL = ("GPU", "operation", "Unit")
# A plain Linux instance that runs, on hardware shared with others, without software that is paid for.
PLAIN = {
    "Operating System": "Linux",
    "Tenancy": "Shared",
    "Pre Installed S/W": "NA",
    "CapacityStatus": "Used",
    "operation": "RunInstances",
    "Unit": "Hrs",
}
Shown = Callable[[str, int, int], None]
"""Told how far a file is: service, bytes read, bytes in all (0 where nobody says)."""


class PriceListError(Exception):
    """The price list could not be read whole; the message says why and what to do."""


@dataclass(frozen=True)
class Unit:
    """A price that is no instance's: where it stands in the list."""

    name: str
    """As `cost.prices.UnitPrices` has it."""
    offer: str
    usage: str
    """The usage type without the region before it, as EUC1- or eu-central-1-."""
    family: str | None = None


UNITS = (
    Unit("eks_cluster_hour", "AmazonEKS", "AmazonEKS-Hours:perCluster"),
    Unit("nat_gateway_hour", EC2, "NatGateway-Hours"),
    Unit("nat_gateway_gb", EC2, "NatGateway-Bytes"),
    Unit("gp3_gb_month", EC2, "EBS:VolumeUsage.gp3"),
    Unit("public_ipv4_hour", "AmazonVPC", "PublicIPv4:InUseAddress"),
    Unit("interface_endpoint_hour", "AmazonVPC", "VpcEndpoint-Hours"),
    Unit("network_load_balancer_hour", "AWSELB", "LoadBalancerUsage", "Load Balancer-Network"),
    Unit("application_load_balancer_hour", "AWSELB", "LoadBalancerUsage", "Load Balancer-Application"),
    Unit("ecr_gb_month", "AmazonECR", "TimedStorage-ByteHrs"),
    Unit("kms_key_month", "awskms", "KMS-Keys"),
)
OFFERS = tuple(dict.fromkeys(one.offer for one in UNITS))


@dataclass
class Read:
    """What of a region's lists has been read so far."""

    currency: str = ""
    offers: dict[str, str] = field(default_factory=dict)
    """Service → version of its list."""
    prices: dict[str, float] = field(default_factory=dict)
    """Unit, or type of instance → price."""
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    """What the list has several prices of; the highest was taken."""
    _rank: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, name: str, row: Mapping[str, str]) -> bool:
        """Return whether a row has the price of `name`: of the first step that costs anything, the highest."""
        price, step = float(row["PricePerUnit"]), float(row["StartingRange"] or 0)
        if price <= 0:
            return False
        rank, before = (step, -price), self._rank.get(name)
        if before is not None and step == before[0] and rank != before:
            self.doubtful.add(name)
        if before is not None and rank >= before:
            return False
        self.prices[name], self._rank[name], self.currency = price, rank, row["Currency"]
        return True


@dataclass(frozen=True)
class PriceList:
    """The price list at `source`, for one region."""

    source: str
    region: str
    shown: Shown = lambda _offer, _done, _whole: None

    def read(self) -> Read:
        """Return the prices of the region; raises PriceListError where one is missing or a file is not whole."""
        parts = urlsplit(self.source)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
            raise PriceListError(f"--source: {self.source!r} is not https, anybody could name prices; give {PUBLIC}")
        found = Read()
        options: dict[str, Any] = {"timeout": TIMEOUT, "retries": AGAIN}
        proxy = proxy_of(self.source)
        with urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options) as pool:
            for offer in OFFERS:
                self._read_offer(pool, offer, found)
        return _whole(found, self.region)

    def _read_offer(self, pool: urllib3.PoolManager, offer: str, found: Read) -> None:
        path = self._newest(pool, offer)
        with self._opened(pool, offer, path) as answer:
            # An answer that ends is not closed: the wrapper reads once more.
            answer.auto_close = False
            told = _rows(offer, io.TextIOWrapper(io.BufferedReader(answer, CHUNK), "utf-8", newline=""))
            found.offers[offer] = next(told)["Version"]
            whole = int(answer.headers.get("Content-Length") or 0)
            for number, row in enumerate(told):
                if number % 1000 == 0:
                    self.shown(offer, answer.tell(), whole)
                _take(found, offer, self.region, row)

    def _newest(self, pool: urllib3.PoolManager, offer: str) -> str:
        """Return the path of the newest CSV of the region."""
        index = f"/offers/v1.0/aws/{offer}/current/region_index.json"
        with self._opened(pool, offer, index) as answer:
            text = answer.read(LONGEST_INDEX)
        try:
            regions = json.loads(text)["regions"]
            path = str(regions[self.region]["currentVersionUrl"]) if self.region in regions else ""
        except (ValueError, KeyError, TypeError):
            raise PriceListError(f"{offer}: {index} is no index of regions; try again, or check --source") from None
        if not path:
            raise PriceListError(f"--region: {self.region!r} has no prices of {offer}; name a region that AWS has")
        if not path.startswith("/offers/") or not path.endswith(".json"):
            raise PriceListError(f"{offer}: {index} names {path!r}, which is no list of it; check --source")
        return f"{path.removesuffix('.json')}.csv"

    @contextmanager
    def _opened(self, pool: urllib3.PoolManager, offer: str, path: str) -> Iterator[urllib3.HTTPResponse]:
        try:
            answer = cast(
                urllib3.HTTPResponse,
                pool.request("GET", f"{self.source}{path}", preload_content=False, redirect=False),
            )
            if answer.status != 200:
                raise PriceListError(f"{offer}: {self.source}{path} answered {answer.status}; try again later")
            try:
                yield answer
            finally:
                answer.close()
        except HTTPError as error:
            kind = type(getattr(error, "reason", None) or error).__name__
            raise PriceListError(
                f"{offer}: {self.source}{path} gave no whole answer ({kind}); check the network, then try again"
            ) from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise PriceListError(f"{offer}: {path} is no list of prices ({error}); try again later") from None


def _rows(offer: str, text: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield what a list says of itself, then its rows of what is not reserved, each with the columns that count."""
    lines = csv.reader(text)
    about: dict[str, str] = {}
    for line in lines:
        if "SKU" in line:
            break
        about.update([(line[0], line[1])] if len(line) > 1 else [])
    else:
        line = []
    wanted = (*NEEDED, *OF_INSTANCES) if offer == EC2 else NEEDED
    missing = [one for one in wanted if one not in line]
    if missing or about.get("OfferCode") != offer or "Version" not in about:
        what = f"has no column {missing[0]!r}" if missing else f"says it is of {about.get('OfferCode')!r}"
        raise PriceListError(f"{offer}: its list {what}; AWS may have changed it, look for a newer version of this")
    yield about
    places = {one: line.index(one) for one in (*wanted, *OPTIONAL) if one in line}
    kind, last = places["TermType"], max(places.values())
    for row in lines:
        if len(row) <= last:
            raise PriceListError(f"{offer}: its list ends in the middle of a row; try again")
        if row[kind] == "OnDemand":
            yield {name: row[place] for name, place in places.items()}


def _take(found: Read, offer: str, region: str, row: Mapping[str, str]) -> None:
    # Local zones and outposts have prices of their own.
    if row["Location Type"] != "AWS Region":
        return
    try:
        for unit in UNITS:
            if unit.offer == offer and unit.family in (None, row["Product Family"]) and _is_of(unit, region, row):
                found.take(unit.name, row)
        if offer == EC2 and row["Product Family"].startswith("Compute Instance") and _is_plain(row):
            _take_instance(found, row)
    except ValueError as error:
        raise PriceListError(f"{offer}: a row of its list cannot be read ({error}); try again later") from None


def _is_of(unit: Unit, region: str, row: Mapping[str, str]) -> bool:
    """Return whether a usage type is the unit's: `RegionalNatGateway-Hours` and `EUC1-TS-LoadBalancerUsage` are not."""
    usage = row["usageType"]
    before = usage.removesuffix(unit.usage)
    return usage.endswith(unit.usage) and (before in ("", f"{region}-") or bool(re.fullmatch(r"[A-Z0-9]+-", before)))


def _is_plain(row: Mapping[str, str]) -> bool:
    return all(row.get(column, value) == value for column, value in PLAIN.items())


def _take_instance(found: Read, row: Mapping[str, str]) -> None:
    name = row["Instance Type"]
    if not found.take(name, row):
        return
    memory, _, unit = row["Memory"].partition(" ")
    if unit != "GiB":
        raise ValueError(f"{name} has memory {row['Memory']!r}")
    gpus = row.get("GPU", "")
    found.instances[name] = {
        "hour": float(row["PricePerUnit"]),
        "vcpus": int(row["vCPU"]),
        "memory": float(memory.replace(",", "")),
        "gpus": int(gpus) if gpus.isdigit() else 0,
    }


def _whole(found: Read, region: str) -> Read:
    """Return what was read; raises PriceListError where a price is missing."""
    for unit in UNITS:
        if unit.name not in found.prices:
            raise PriceListError(f"{unit.offer}: its list of {region} has no price of {unit.usage}; nothing is written")
    if not found.instances:
        raise PriceListError(f"{EC2}: its list of {region} has no price of an instance; nothing is written")
    return found
