import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_build.rounding import relative_error, to_steps

WORKED = np.array([[0.123, 0.456], [0.789, 1.234]])


def test_weights_are_rounded_to_multiples_of_the_step() -> None:
    np.testing.assert_allclose(to_steps(WORKED, 0.1), [[0.1, 0.5], [0.8, 1.2]], atol=1e-12)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(1e-3, 10))
def test_no_weight_moves_by_more_than_half_a_step(values: list[float], step: float) -> None:
    weights = np.array(values)
    assert np.abs(to_steps(weights, step) - weights).max() <= step / 2 * (1 + 1e-9)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_a_step_that_is_not_above_zero_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        to_steps(WORKED, step)


def test_a_step_for_each_channel_loses_less_than_one_for_all() -> None:
    weights = np.array([[0.01, -0.02, 0.013], [5.0, 3.3, -4.1]])
    assert relative_error(weights[:1], 8, 0) < relative_error(weights, 4, None)
    assert relative_error(weights, 8, 0) <= relative_error(weights, 8, None)


def test_weights_of_zero_have_no_error() -> None:
    assert relative_error(np.zeros((2, 3)), 8, 0) == 0.0
