from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from regmix_bench.analysis.methods import (
    MARGIN,
    Difference,
    Spread,
    compare_methods,
    compare_treatments,
    holm,
    seed_pairs,
    verdict,
)

IMAGES = 360


def method(rng, seeds, hardness, *, seed_sd=0.3, taste=1.0, ease=0.0):
    """Flags of one method: how easy an image is in common, for the method, for the seed."""
    own = hardness + rng.normal(0, taste, len(hardness))
    shift = rng.normal(0, seed_sd, (seeds, 1))
    noise = rng.normal(0, 1, (seeds, len(hardness)))
    return ease + 2 + own + shift + noise > 0


def images(rng, n=IMAGES):
    return rng.normal(0, 3, n)


def two_methods(rng, seeds=(3, 3), n=IMAGES, ease=0.0, **kind):
    hardness = images(rng, n)
    one, two = seeds
    return method(rng, one, hardness, ease=ease, **kind), method(rng, two, hardness, **kind)


# Chance of seeds and of images: images alone, both, seeds alone, and methods that judge images
# alike, so that nothing is left but a single seed on a single image.
@pytest.mark.parametrize(
    ("seed_sd", "taste"), [(0.0, 1.0), (0.1, 1.0), (0.3, 1.0), (1.0, 1.0), (0.3, 3.0), (0.3, 0.0)]
)
def test_equal_methods_are_called_different_in_five_percent(seed_sd, taste):
    rng = np.random.default_rng(1)
    found = [compare_methods(*two_methods(rng, seed_sd=seed_sd, taste=taste)) for _ in range(1000)]
    rate = np.mean([difference.p_value < 0.05 for difference in found])
    assert 0.02 <= rate <= 0.075
    expected = np.mean([difference.standard_error**2 for difference in found])
    assert expected == pytest.approx(np.var([d.value for d in found]), rel=0.15)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(8)
    truth = np.mean(
        [a.mean() - b.mean() for a, b in (two_methods(rng, ease=0.5, n=3600) for _ in range(300))]
    )
    inside = 0
    for _ in range(1000):
        low, high = compare_methods(*two_methods(rng, ease=0.5)).interval()
        inside += low <= truth <= high
    assert 0.93 <= inside / 1000 <= 0.98


def test_the_standard_error_is_that_of_a_drawn_bootstrap_with_each_part_counted_once():
    rng = np.random.default_rng(2)
    a, b = two_methods(rng, (3, 5))

    def drawn(resample_seeds, resample_images, times=20_000):
        values = np.zeros(times)
        weights = rng.multinomial(IMAGES, [1 / IMAGES] * IMAGES, times) / IMAGES
        for flags, sign in ((a, 1), (b, -1)):
            n = len(flags)
            means = flags @ weights.T if resample_images else flags.mean(axis=1)[:, None]
            choice = rng.multinomial(n, [1 / n] * n, times) / n if resample_seeds else 1 / n
            values += sign * np.sum(choice * np.broadcast_to(means.T, (times, n)), axis=1)
        return values.var()

    # What seeds and images do together is the residual alone; each of the other two holds it too.
    by_images, both = drawn(False, True), drawn(True, True)
    seeds = residual = 0.0
    for flags in (a, b):
        n = len(flags)
        seeds += flags.mean(axis=1).var() / n * n / (n - 1)
        effects = flags.mean(axis=1, keepdims=True) + flags.mean(axis=0) - flags.mean()
        residual += ((flags - effects) ** 2).sum() / ((n - 1) * (IMAGES - 1)) / (n * IMAGES)
    found = compare_methods(a, b)
    assert found.standard_error**2 == pytest.approx(by_images + seeds - residual, rel=0.04)
    assert both > 1.1 * found.standard_error**2
    assert found.value == pytest.approx(a.mean() - b.mean())


def test_without_images_in_common_it_is_welchs_test():
    """Where every image is alike, seeds are all that varies, and scipy has the test."""
    rng = np.random.default_rng(3)
    a, b = (rng.random((n, 20_000)) < rng.normal(0.5, 0.05, (n, 1)) for n in (4, 3))
    found = compare_methods(a, b)
    welch = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert found.p_value == pytest.approx(welch.pvalue, rel=0.05)
    assert found.interval() == pytest.approx(tuple(welch.confidence_interval()), abs=0.003)


def test_swapping_the_methods_swaps_the_sign():
    a, b = two_methods(np.random.default_rng(4), (3, 4))
    there, back = compare_methods(a, b), compare_methods(b, a)
    assert there.value == -back.value and there.p_value == pytest.approx(back.p_value)
    assert there.interval()[0] == pytest.approx(-back.interval()[1])


def test_neither_the_order_of_seeds_nor_that_of_images_matters():
    rng = np.random.default_rng(5)
    a, b = two_methods(rng)
    order = rng.permutation(IMAGES)
    assert compare_methods(a[::-1, order], b[:, order]).p_value == pytest.approx(
        compare_methods(a, b).p_value
    )
    # But the images must be the same in both: shuffled in one, they are no pairs any more.
    apart = compare_methods(a[:, order], b)
    assert apart.standard_error > 1.3 * compare_methods(a, b).standard_error


def test_flags_that_never_vary_are_equal_or_certainly_different():
    all_right, all_wrong = np.ones((3, 50), bool), np.zeros((2, 50), bool)
    assert compare_methods(all_right, all_right).p_value == 1.0
    certain = compare_methods(all_right, all_wrong)
    assert (certain.value, certain.p_value, certain.interval()) == (1.0, 0.0, (1.0, 1.0))


@pytest.mark.parametrize("shapes", [((1, 9), (3, 9)), ((3, 9), (3, 8)), ((9,), (3, 9))])
def test_shapes_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="cannot be compared"):
        compare_methods(*(np.ones(shape, bool) for shape in shapes))


def test_holm_equals_the_step_down_by_hand():
    # Ordered 0.01, 0.02, 0.03, 0.2: times 4, 3, 2, 1, and never below the one before.
    assert holm([0.2, 0.01, 0.03, 0.02]) == pytest.approx([0.2, 0.04, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("value", "error", "corrected", "expected"),
    [
        (0.05, 0.01, 0.001, "better"),
        (-0.05, 0.01, 0.049, "worse"),
        (-0.05, 0.01, 0.05, "not distinguishable"),
        (0.0, 0.004, 1.0, "equivalent"),
        (0.0, 0.0062, 1.0, "not distinguishable"),
        (0.005, 0.004, 1.0, "not distinguishable"),
        (0.005, 0.001, 0.001, "better"),
    ],
)
def test_verdicts(value, error, corrected, expected):
    assert verdict(Difference(value, error, math.inf, corrected), corrected) == expected


def test_equivalence_begins_where_the_90_percent_interval_lies_inside_the_margin():
    edge = MARGIN / stats.t.ppf(0.95, 4)
    inside, outside = (Difference(0.0, edge * f, 4, 1.0) for f in (0.999, 1.001))
    assert verdict(inside, 1.0) == "equivalent"
    assert verdict(outside, 1.0) == "not distinguishable"


def two_treatments(rng, seeds=3, treatment_sd=0.2):
    """Like seeds, trained in two ways that change little."""
    hardness, shift = images(rng), rng.normal(0, 1.0, (seeds, 1))
    noise = rng.normal(0, 1, (seeds, IMAGES))
    return [
        2
        + hardness
        + shift
        + noise
        + rng.normal(0, treatment_sd, (seeds, 1))
        + rng.normal(0, treatment_sd, (seeds, IMAGES))
        + rng.normal(0, treatment_sd, IMAGES)
        > 0
        for _ in range(2)
    ]


def test_equal_treatments_are_called_different_in_five_percent_at_most():
    rng = np.random.default_rng(9)
    found = [compare_treatments(*two_treatments(rng)) for _ in range(1000)]
    assert 0.02 <= np.mean([difference.p_value < 0.05 for difference in found]) <= 0.065


def test_pairs_of_seeds_say_more_than_seeds_that_have_nothing_in_common():
    rng = np.random.default_rng(10)
    pairs = [two_treatments(rng) for _ in range(200)]
    paired, apart = (
        np.median([compare(*pair).standard_error for pair in pairs])
        for compare in (compare_treatments, compare_methods)
    )
    assert paired < apart / 2


@pytest.mark.parametrize("shape", [(2, 9), (3, 10), (1, 10), (10,)])
def test_treatments_without_pairs_are_refused(shape):
    with pytest.raises(ValueError, match="are no pairs"):
        compare_treatments(np.ones((2, 10), bool)[: shape[0]], np.ones(shape, bool))


def test_seed_pairs_are_counted_within_methods_alone():
    # Six images lost and none gained are significant (1/32), five are not (1/16).
    base = np.arange(40) < 20
    six, five = base & (np.arange(40) >= 6), base & (np.arange(40) >= 5)
    assert seed_pairs([np.stack([base, six]), np.stack([base, five, base])]) == (1, 4)
    assert seed_pairs([base[None]]) == (0, 0)


def test_the_promised_power_is_the_share_of_simulated_studies_that_find_the_difference():
    rng = np.random.default_rng(6)
    big = images(rng, 20_000)
    methods = [method(rng, 40, big) for _ in range(4)]
    spread = Spread.of(methods)
    for n, seeds in ((360, 3), (360, 8), (1500, 3)):
        found = [
            compare_methods(*two_methods(rng, (seeds, seeds), n, ease=0.5)) for _ in range(400)
        ]
        difference = float(np.mean([d.value for d in found]))
        rate = np.mean([d.p_value < 0.05 for d in found])
        assert spread.power(difference, n, seeds) == pytest.approx(rate, abs=0.08)


def test_few_recorded_seeds_estimate_the_spread_without_bias():
    rng = np.random.default_rng(7)
    truth = Spread.of([method(rng, 40, big) for big in [images(rng, 20_000)] for _ in range(4)])
    small = [
        Spread.of([method(rng, 3, few) for few in [images(rng)] for _ in range(6)])
        for _ in range(100)
    ]
    for part in ("seeds", "images", "residual"):
        mean = np.mean([getattr(one, part) for one in small])
        assert mean == pytest.approx(getattr(truth, part), rel=0.15)


def test_more_seeds_and_more_images_find_more():
    spread = Spread(seeds=2e-4, images=0.02, residual=0.04)
    grid = [[spread.power(0.02, n, s) for s in (2, 3, 5, 10)] for n in (360, 1000, 10_000)]
    for row in (*grid, *zip(*grid, strict=True)):
        assert all(one < two for one, two in itertools.pairwise(row))
    needed = spread.seeds_needed(0.02, 1000)
    assert needed is not None
    assert spread.power(0.02, 1000, needed) >= 0.8 > spread.power(0.02, 1000, needed - 1)


def test_no_number_of_seeds_replaces_images():
    spread = Spread(seeds=2e-4, images=0.02, residual=0.04)
    assert spread.seeds_needed(0.001, 360) is None
    assert spread.seeds_needed(0.2, 360) == 2
    assert Spread(0.0, 0.0, 0.0).power(0.01, 10, 2) == 1.0
