"""`ops prices update` against a price list on loopback: what is taken of it, and that no part of one is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber

from cost import prices
from ops import spot
from ops.__main__ import main
from ops.price_list import OFFERS, PriceListError
from settings import SettingsError
from tests.cost.price_lists import REGION, Served, price_list


@pytest.fixture
def served() -> Iterator[Served]:
    with price_list() as made:
        yield made


def update(served: Served, path: Path, *options: str, region: str = REGION) -> int:
    return main(["prices", "update", "--region", region, "--out", str(path), "--source", served.url, *options])


def test_the_prices_of_a_region_are_written(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "prices" / "eu.yaml"
    assert update(served, path) == 0
    found = prices.read(path)
    assert (found.currency, found.region, found.source) == ("USD", REGION, served.url)
    assert abs((datetime.now(UTC) - found.fetched).total_seconds()) < 600
    assert set(found.offers) == set(OFFERS)
    assert found.units.model_dump() == {
        "eks_cluster_hour": 0.3,
        "nat_gateway_hour": 0.5,
        "nat_gateway_gb": 0.7,
        "public_ipv4_hour": 0.03,
        "interface_endpoint_hour": 0.06,
        "network_load_balancer_hour": 0.15,
        "application_load_balancer_hour": 0.25,
        "gp3_gb_month": 0.2,
        "ecr_gb_month": 0.4,
        "kms_key_month": 2.0,
    }


def test_an_instance_costs_what_a_plain_one_with_linux_does(served: Served, tmp_path: Path) -> None:
    assert update(served, tmp_path / "p.yaml") == 0
    found = prices.read(tmp_path / "p.yaml").instances
    assert found["m7i.large"].model_dump() == {"hour": 1.0, "spot": None, "vcpus": 2, "memory": 8.0, "gpus": 0}
    assert (found["g5.12xlarge"].gpus, found["u7i-8tb.112xlarge"].memory) == (4, 8192)
    assert "m7i.metal-24xl" in found


def test_what_was_written_is_told_to_programs(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert update(served, tmp_path / "p.yaml", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["instances"], told["spot"]) == (str(tmp_path / "p.yaml"), 11, 0)
    assert told["doubtful"] == []


def test_of_several_prices_the_highest_is_taken_and_told(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.change("AmazonEKS", "extendedSupport", "perCluster")
    assert update(served, tmp_path / "p.yaml") == 0
    assert prices.read(tmp_path / "p.yaml").units.eks_cluster_hour == 3.0
    assert "several prices of eks_cluster_hour; the highest was taken" in capsys.readouterr().err


def broken_index(served: Served) -> None:
    served.files["/offers/v1.0/aws/awskms/current/region_index.json"] = b"<html>"


def elsewhere(served: Served) -> None:
    index = "/offers/v1.0/aws/awskms/current/region_index.json"
    served.files[index] = served.files[index].replace(b"/offers/v1.0/aws/awskms/2", b"http://127.0.0.1:1/2")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda it: it.cut_short("AmazonEC2", 400), "AmazonEC2: "),
        (lambda it: it.change("AmazonEC2", '"Instance Type"', '"Type"'), "has no column 'Instance Type'"),
        (lambda it: it.change("AmazonEC2", '"OfferCode","AmazonEC2"', '"OfferCode","X"'), "says it is of 'X'"),
        (lambda it: it.change("AmazonEC2", "EUC1-NatGateway-Hours", "EUC1-Other"), "no price of NatGateway-Hours"),
        (lambda it: it.change("AmazonEC2", '"0.5000000000"', '"free"'), "a row of its list cannot be read"),
        (lambda it: it.change("AmazonEC2", '"8 GiB"', '"8 GB"'), "m7i.large has memory '8 GB'"),
        (lambda it: it.change("AmazonEC2", '"Shared"', '"Host"'), "no price of an instance"),
        (lambda it: it.files.pop("/offers/v1.0/aws/AWSELB/current/region_index.json"), "answered 404"),
        (broken_index, "awskms: /offers/v1.0/aws/awskms/current/region_index.json is no index of regions"),
        (elsewhere, "names 'http://127.0.0.1:1/"),
    ],
)
def test_a_wrong_or_partial_answer_leaves_the_file_as_it_was(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Any, says: str
) -> None:
    path = tmp_path / "p.yaml"
    assert update(served, path) == 0
    before = path.read_bytes()
    spoil(served)
    assert update(served, path) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert says in told
    assert told.count("\n") == 1
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["p.yaml"]


def test_a_list_that_ends_within_a_row_is_no_list(served: Served, tmp_path: Path) -> None:
    served.files = {path: text[:-60] if path.endswith(".csv") else text for path, text in served.files.items()}
    assert update(served, tmp_path / "p.yaml") == 1
    assert not (tmp_path / "p.yaml").exists()


def test_a_region_that_aws_has_not_is_told(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(served, tmp_path / "p.yaml", region="eu-central-9") == 1
    assert "error: --region: 'eu-central-9' has no prices of AmazonEKS" in capsys.readouterr().err


def test_a_list_that_nobody_serves_is_told_with_what_went_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with price_list() as gone:
        pass
    assert update(gone, tmp_path / "p.yaml") == 1
    assert "/AmazonEKS/current/region_index.json gave no whole answer (NewConnectionError)" in capsys.readouterr().err


def test_prices_come_over_https_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prices", "update", "--region", REGION, "--out", str(tmp_path / "p.yaml")]
    assert main([*command, "--source", "http://prices.example.com"]) == 1
    assert "error: --source: 'http://prices.example.com' is not https" in capsys.readouterr().err


def test_a_spot_instance_costs_what_the_dearest_zone_asks() -> None:
    client = botocore.session.get_session().create_client(
        "ec2", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    history = [
        {"InstanceType": "g5.xlarge", "SpotPrice": price, "AvailabilityZone": f"{REGION}{zone}"}
        for zone, price in (("a", "0.5"), ("b", "0.7"), ("c", "0.6"))
    ]
    with Stubber(client) as stub:
        asked = {"ProductDescriptions": ["Linux/UNIX"], "StartTime": ANY}
        stub.add_response("describe_spot_price_history", {"SpotPriceHistory": history}, asked)
        assert spot.spot_prices(REGION, client) == {"g5.xlarge": 0.7}


def test_spot_prices_without_credentials_are_refused_in_one_line() -> None:
    client = botocore.session.get_session().create_client(
        "ec2", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    with Stubber(client) as stub:
        stub.add_client_error("describe_spot_price_history", "UnauthorizedOperation", "not\nyou")
        with pytest.raises(
            PriceListError, match=r"^--spot: EC2 in eu-central-1 did not tell prices \(.*not you\); give"
        ):
            spot.spot_prices(REGION, client)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("hour: 1.0,", "hour: -1.0,", "instances.m7i.large.hour: -1.0: input should be greater than or equal to 0"),
        ("hour: 1.0,", "hour: .nan,", "instances.m7i.large.hour: nan: input should be"),
        ("version: 1", "version: 2", "version: 2: input should be 1"),
        ("currency: USD", "currency: $", "currency: '$': string should match pattern"),
        ("eksClusterHour", "eksClusterDay", "units.eksClusterDay: extra inputs are not permitted"),
        ("region: eu-central-1", "region: [", "is no YAML"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_key_and_value(
    served: Served, tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = tmp_path / "p.yaml"
    assert update(served, path) == 0
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    assert path.read_text() != text
    with pytest.raises(SettingsError) as caught:
        prices.read(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: {says}")
    assert "\n" not in told
    assert "run `python -m ops prices update --region REGION --out FILE`" in told
