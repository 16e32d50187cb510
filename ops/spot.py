"""What spot instances cost now, which no public list says: EC2 tells it to whoever has credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ops.price_list import PriceListError

LINUX = "Linux/UNIX"


def spot_prices(region: str, client: Any = None) -> dict[str, float]:
    """Return type of instance → price an hour in the dearest zone; raises PriceListError.

    What is in force now is the history from now on
    (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html).
    """
    import botocore.exceptions  # noqa: PLC0415 (a third of a second, which nothing else here needs)

    found: dict[str, float] = {}
    try:
        pages = (client or _client(region)).get_paginator("describe_spot_price_history")
        for page in pages.paginate(ProductDescriptions=[LINUX], StartTime=datetime.now(UTC)):
            for one in page["SpotPriceHistory"]:
                found[one["InstanceType"]] = max(found.get(one["InstanceType"], 0.0), float(one["SpotPrice"]))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        told = " ".join(str(error).split())
        remedy = "give credentials that may ec2:DescribeSpotPriceHistory, or leave it out"
        raise PriceListError(f"--spot: EC2 in {region} did not tell prices ({told}); {remedy}") from error
    return found


def _client(region: str) -> Any:
    import botocore.session  # noqa: PLC0415

    return botocore.session.get_session().create_client("ec2", region_name=region)
