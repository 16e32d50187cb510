"""Which weight of a canary's steps counts with how many of its pods."""

from __future__ import annotations

import pytest

from components.shares import caps
from settings import StepSettings


@pytest.mark.parametrize(
    ("replicas", "weights", "found"),
    [
        (1, (20, 50), {1: 20}),
        (2, (5, 20, 50), {1: 5}),
        (3, (50,), {2: 50}),
        (4, (25, 50), {1: 25, 2: 50}),
        (4, (55,), {2: 55}),  # two of four are as near as three of five
        (10, (1, 33, 95), {1: 1, 3: 33, 10: 95}),
    ],
)
def test_steps_that_have_as_many_pods_get_the_lowest_of_their_weights(
    replicas: int, weights: tuple[int, ...], found: dict[int, int]
) -> None:
    assert dict(caps(replicas, [StepSettings(weight=weight) for weight in weights])) == found
