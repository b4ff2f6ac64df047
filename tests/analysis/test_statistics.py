from __future__ import annotations

from itertools import product
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regmix_bench.analysis.statistics import (
    mcnemar,
    smallest_resolvable_drop,
    t_interval,
    two_proportions,
    wilson_interval,
)

ALPHA = 0.01


def test_wilson_interval_equals_the_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81/263, 15/148, 0/20, 1/29.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError):
        wilson_interval(5, 4)


def test_t_interval_equals_the_published_example() -> None:
    # Student 1908, table of sleep: extra hours under the second drug; the 97.5 % point of t with
    # nine degrees of freedom is 2.262.
    hours = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    half = 2.262 * 2.0022 / 10**0.5
    assert t_interval(hours) == pytest.approx((2.33 - half, 2.33 + half), abs=1e-3)


def test_t_interval_of_equal_values_has_no_width() -> None:
    assert t_interval([0.8, 0.8, 0.8]) == pytest.approx((0.8, 0.8))


@pytest.mark.parametrize("pairs", range(1, 9))
def test_mcnemar_equals_enumeration_of_coin_flips(pairs: int) -> None:
    flips = [sum(way) for way in product((0, 1), repeat=pairs)]
    for b in range(pairs + 1):
        at_least = sum(flip >= b for flip in flips) / 2**pairs
        at_most = sum(flip <= b for flip in flips) / 2**pairs
        assert mcnemar(b, pairs - b, "greater") == pytest.approx(at_least)
        assert mcnemar(b, pairs - b, "less") == pytest.approx(at_most)
        assert mcnemar(b, pairs - b) == pytest.approx(min(1.0, 2 * min(at_least, at_most)))


def test_mcnemar_of_no_disagreement_says_nothing() -> None:
    assert mcnemar(0, 0) == mcnemar(0, 0, "greater") == 1.0


def test_fisher_equals_the_lady_tasting_tea() -> None:
    # Fisher 1935, The Design of Experiments: 3 of 4 cups right, 17 of 70 ways as good or better.
    assert two_proportions(3, 4, 1, 4, "greater") == pytest.approx(17 / 70)
    assert two_proportions(3, 4, 1, 4) == pytest.approx(34 / 70)


@given(st.integers(1, 7), st.integers(1, 7), st.data())
@settings(max_examples=50, deadline=None)
def test_fisher_equals_enumeration_of_tables(n_a: int, n_b: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    ways = {x: comb(n_a, x) * comb(n_b, a + b - x) for x in range(n_a + 1) if x <= a + b}
    expected = sum(w for x, w in ways.items() if x >= a) / sum(ways.values())
    assert two_proportions(a, n_a, b, n_b, "greater") == pytest.approx(expected)


def test_seven_lost_images_are_the_least_that_pairs_resolve() -> None:
    assert 0.5**7 < ALPHA < 0.5**6
    assert smallest_resolvable_drop(360, 300, ALPHA, discordant=0) == 7
    assert smallest_resolvable_drop(7, 7, ALPHA, discordant=0) == 7
    assert smallest_resolvable_drop(6, 6, ALPHA, discordant=0) is None
    assert smallest_resolvable_drop(360, 6, ALPHA, discordant=0) is None


@pytest.mark.parametrize("discordant", [7, 8, 11, 40, 101])
def test_a_paired_drop_is_significant_from_the_printed_one_on(discordant: int) -> None:
    drop = smallest_resolvable_drop(360, 300, ALPHA, discordant)
    significant = [
        2 * lost - discordant
        for lost in range(discordant + 1)
        if mcnemar(lost, discordant - lost, "greater") < ALPHA
    ]
    assert drop == min(significant)


@given(st.integers(1, 120), st.data())
@settings(max_examples=40, deadline=None)
def test_an_unpaired_drop_is_significant_from_the_printed_one_on(
    n: int, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, n))
    significant = [
        drop
        for drop in range(1, successes + 1)
        if two_proportions(successes, n, successes - drop, n, "greater") < ALPHA
    ]
    drop = smallest_resolvable_drop(n, successes, ALPHA)
    assert drop == min(significant, default=None)


def test_pairs_resolve_less_than_half_of_what_proportions_need() -> None:
    paired = smallest_resolvable_drop(360, 300, ALPHA, discordant=0)
    unpaired = smallest_resolvable_drop(360, 300, ALPHA)
    assert paired is not None and unpaired is not None
    assert 2 * paired < unpaired


def test_ten_thousand_images_resolve_two_points() -> None:
    drop = smallest_resolvable_drop(10_000, 5_000, ALPHA)
    assert drop is not None and 100 < drop <= 200
