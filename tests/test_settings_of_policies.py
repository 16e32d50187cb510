"""The settings that policies go by: what a stack is, what it is let off, what it may cost, what models have to keep."""

from __future__ import annotations

from typing import Any

import pytest

from settings import environment_of
from tests.test_settings import load, model, refused

EXCEPTION = {"policy": "probes", "resource": "legacy-*", "reason": "goes with the move in March"}
SLO = {"availability": 0.999, "p99Seconds": 0.5}


@pytest.mark.parametrize(
    ("stack", "environment"),
    [
        ("prod", "prod"),
        ("prod-eu", "prod"),
        ("eu-production", "prod"),
        ("organization.live_1", "prod"),
        ("staging", "staging"),
        ("stage2", "staging"),
        ("test", "test"),
        ("review-test-12", "test"),
        ("dev", "dev"),
        ("alice", "dev"),
        ("products", "dev"),
        ("latest", "dev"),
    ],
)
def test_a_stacks_name_tells_what_it_is_where_nothing_else_does(stack: str, environment: str) -> None:
    assert environment_of(stack) == environment


def test_the_setting_goes_before_the_name() -> None:
    assert (load().environment, load().prod) == ("dev", False)
    assert load(environment="prod").prod


def test_exceptions_prices_and_objectives_are_read() -> None:
    cost = {"limit": 900, "prices": {"cpu": 22, "nvidia.com/gpu": 350.5}}
    found = load(models=model(slo=SLO), policies={"exceptions": [EXCEPTION], "cost": cost})
    assert found.policies.exceptions[0].reason == EXCEPTION["reason"]
    assert found.policies.cost is not None
    assert found.policies.cost.prices == {"cpu": 22.0, "nvidia.com/gpu": 350.5}
    assert found.objectives["digits"].p99_seconds == 0.5


def test_a_file_of_prices_needs_no_limit_and_no_other_prices() -> None:
    cost = load(policies={"cost": {"priceFile": "prices/eu-central-1.yaml"}}).policies.cost
    assert cost is not None
    assert (cost.price_file, cost.limit, cost.prices) == ("prices/eu-central-1.yaml", None, {})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"environment": "production"}, "modelstack:environment: 'production': "),
        ({"policies": {"exception": []}}, "modelstack:policies.exception: is no known key, did you mean `exceptions`"),
        (
            {"policies": {"exceptions": [{**EXCEPTION, "reason": "because"}]}},
            "modelstack:policies.exceptions.0.reason: ",
        ),
        (
            {"policies": {"exceptions": [{"policy": "probes", "resource": "*"}]}},
            "modelstack:policies.exceptions.0.reason: is missing; add it",
        ),
        ({"policies": {"cost": {"limit": 1, "prices": {}}}}, "modelstack:policies.cost.prices: {}: "),
        ({"policies": {"cost": {"limit": -1, "prices": {"cpu": 1}}}}, "modelstack:policies.cost.limit: -1: "),
        ({"policies": {"cost": {"limit": 1}}}, "modelstack:policies.cost: names no prices; set priceFile, or prices"),
        (
            {"policies": {"cost": {"priceFile": "p.yaml", "currency": "dollars"}}},
            "modelstack:policies.cost.currency: 'dollars': ",
        ),
        ({"models": model(slo={**SLO, "availability": 1})}, "modelstack:models.digits.slo.availability: 1: "),
        ({"models": model(slo={**SLO, "p99seconds": 1})}, "modelstack:models.digits.slo.p99seconds: is no known key"),
    ],
)
def test_what_is_wrong_is_told_by_key_and_value(config: dict[str, Any], says: str) -> None:
    assert refused(**config).startswith(says)
