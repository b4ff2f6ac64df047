from __future__ import annotations

import pytest

from regmix_bench.reporting.figures.limits import LEAST, fitted_limits


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([80, 81, 82, 83], [80, 81, 82, 83]),
        ([80, 81, 82, 30], [80, 81, 82]),
        ([80, 81, 82, 83, 84, 85, 60, 30], [80, 81, 82, 83, 84, 85]),
        ([80, 81, 20], [20, 80, 81]),  # of three, one is many
        ([10, 30, 50, 70], [10, 30, 50, 70]),
    ],
)
def test_limits_fit_what_lies_together(values, shown):
    low, high = fitted_limits(values, values)
    assert [value for value in values if low <= value <= high] == sorted(shown, key=values.index)
    assert high - low < 1.2 * (max(shown) - min(shown))


def test_intervals_and_what_is_held_are_inside():
    low, high = fitted_limits([3, 4, 5, 6], [7, 8, 9, 10], hold=0.0)
    assert low < 0 and high > 10
    low, high = fitted_limits([-1, -1, -2, -60], [1, 2, 1, -50], hold=0.0)
    assert -3 < low < -2 and high < 3


def test_what_is_all_alike_is_not_blown_up():
    low, high = fitted_limits([50, 50], [50, 50])
    assert LEAST <= high - low < 2 * LEAST and low < 50 < high
