"""`python -m ops prices update`: what AWS asks for in a region, from its public price list into a file.

No credentials are needed, but for `--spot`, which asks EC2 what spot instances cost now.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cost import prices
from cost.prices import InstancePrice, Prices, UnitPrices
from ops.price_list import PUBLIC, PriceList, PriceListError, Read
from ops.progress import Bytes
from ops.spot import spot_prices

DONE, FAILED = 0, 1
FOLDER = Path("prices")


def of_read(found: Read, region: str, source: str, spot: Mapping[str, float]) -> Prices:
    """Return a file of prices; raises PriceListError where the list holds what no file can."""
    try:
        return Prices(
            currency=found.currency,
            region=region,
            fetched=datetime.now(UTC).replace(microsecond=0),
            source=source,
            offers=found.offers,
            units=UnitPrices(**{name: found.prices[name] for name in UnitPrices.model_fields if name in found.prices}),
            instances={name: InstancePrice(**one, spot=spot.get(name)) for name, one in found.instances.items()},
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise PriceListError(
            f"{key}: {first['msg'].lower()}; AWS may have changed its list, nothing is written"
        ) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    update = verbs.add_parser("update", help="fetch the prices of a region", description=(__doc__ or "").strip())
    update.add_argument("--region", required=True, help="as eu-central-1")
    update.add_argument("--out", type=Path, metavar="FILE", help="default: prices/REGION.yaml")
    update.add_argument("--source", default=PUBLIC, metavar="URL", help=f"default: {PUBLIC}")
    update.add_argument(
        "--spot", action="store_true", help="ask EC2 for the prices of spot instances; needs credentials"
    )
    update.add_argument("--json", action="store_true", help="tell what was written as one JSON object")
    update.epilog = "Exit codes: 0 written, 1 not written: the file is as it was, 2 usage."


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 where the list cannot be read whole, or the file cannot be written."""
    region, source = arguments.region, arguments.source.rstrip("/")
    path = arguments.out or FOLDER / f"{region}.yaml"
    try:
        with Bytes("prices:") as shown:
            read = PriceList(source, region, lambda _offer, done, whole: shown.show(done, max(done, whole))).read()
        made = of_read(read, region, source, spot_prices(region) if arguments.spot else {})
        prices.write(made, path)
    except (PriceListError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    for name in sorted(read.doubtful):
        print(f"prices: the list has several prices of {name}; the highest was taken", file=sys.stderr)
    _tell(made, path, read, as_json=arguments.json)
    return DONE


def _tell(made: Prices, path: Path, read: Read, *, as_json: bool) -> None:
    told: dict[str, Any] = {
        "file": str(path),
        "region": made.region,
        "currency": made.currency,
        "instances": len(made.instances),
        "spot": sum(one.spot is not None for one in made.instances.values()),
        "offers": made.offers,
        "doubtful": sorted(read.doubtful),
    }
    if as_json:
        print(json.dumps(told))
    else:
        print(f"{path}: {len(made.instances)} types of instances in {made.region}, {made.currency}")
