"""`modelstack:aws`: what is read, and one line for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from settings import AwsSettings
from tests.test_settings import MODELS, load, refused

ADMIN = "arn:aws:iam::123456789012:role/deploy"
AWS: dict[str, Any] = {"region": "eu-central-1", "account": "123456789012", "admins": [ADMIN]}
BASE = "registry.example/base:1"


def in_aws(**changes: Any) -> dict[str, Any]:
    return {"models": MODELS, "aws": {**AWS, **changes}, "base": BASE}


def test_a_region_an_account_and_an_admin_are_enough() -> None:
    found = load(**in_aws())
    assert found.aws == AwsSettings(region="eu-central-1", account="123456789012", admins=(ADMIN,))
    assert not found.embedded


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "frankfurt"}, "aws.region: 'frankfurt': string should match"),
        ({"account": "12345"}, "aws.account: '12345': string should match"),
        ({"admins": []}, "aws.admins: []: tuple should have at least 1 item"),
        ({"admins": ["root"]}, "aws.admins.0: "),
        ({"cidr": "10.0.0.0"}, "aws.cidr: '10.0.0.0' is not a private network of /16 to /20"),
        ({"cidr": "10.0.0.0/24"}, "aws.cidr: '10.0.0.0/24' is not a private network of /16 to /20; take 10.0.0.0/16"),
        ({"cidr": "8.8.0.0/16"}, "aws.cidr: '8.8.0.0/16' is not a private network"),
        ({"cidr": "ten"}, "aws.cidr: 'ten' is no network"),
        ({"zones": ["a"]}, "aws.zones: "),
        ({"zones": ["a", "a"]}, "aws: zones: a, a name one twice; name each once"),
        ({"apiFrom": ["0.0.0.0/0"]}, "aws.apiFrom: '0.0.0.0/0' is wider than a /8"),
        ({"workers": {"min": 3, "max": 2}}, "aws.workers: max: 2 is below min 3; raise it"),
        ({"gpu": 1}, "aws.gpu: is no known key"),
    ],
)
def test_what_cannot_be_is_refused_by_key_value_and_limit(changes: dict[str, Any], message: str) -> None:
    assert refused(**in_aws(**changes)).startswith(f"modelstack:{message}")


def test_a_stack_lies_in_aws_or_in_a_cluster_of_its_own() -> None:
    both = refused(**in_aws(), cluster={"kubeconfig": "~/kubeconfig"}, registry={"push": "registry.example"})
    assert both == "modelstack: aws makes a cluster, modelstack:cluster.kubeconfig names another; remove one of the two"


def test_a_stack_in_aws_names_its_base() -> None:
    assert "modelstack:base is missing" in refused(models=MODELS, aws=AWS)


def test_a_registry_without_a_host_is_aws_own_and_nobody_elses() -> None:
    assert load(**in_aws(), registry={"prefix": "shop"}).registry
    assert "registry.push: is missing" in refused(registry={"prefix": "shop"})


def test_scaling_by_series_needs_keda_there_too() -> None:
    models = {"digits": {**MODELS["digits"], "scale": {"min": 1, "max": 3, "requests": 5}}}
    assert "is read by KEDA" in refused(**{**in_aws(), "models": models}) or "are read by KEDA" in refused(
        **{**in_aws(), "models": models}
    )
