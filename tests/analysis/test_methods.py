from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special, stats

from regmix_bench.analysis.methods import (
    MARGIN,
    Differences,
    Spread,
    compare_methods,
    compare_treatments,
    moderated,
    seed_pairs,
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


def table(rng, methods=5, seeds=6, reference_seeds=6, deviations=(0.3,), n=IMAGES):
    """Equal methods, whose latent deviations from seed to seed take turns, and their reference."""
    hardness = images(rng, n)
    turns = itertools.islice(itertools.cycle(deviations), methods)
    return (
        [method(rng, seeds, hardness, seed_sd=sd) for sd in turns],
        method(rng, reference_seeds, hardness, seed_sd=deviations[-1]),
    )


def to_reference(methods, reference):
    """The differences of methods to a reference, in the family of their table."""
    return compare_methods([*methods, reference]).against(len(methods))


# benchmarks/verdicts.py asks it of 10,000 tables of every kind; here three of each.
@pytest.mark.parametrize("deviations", [(0.0,), (0.3,), (0.0, 1.0)])
@pytest.mark.parametrize(("seeds", "methods"), [(3, 4), (6, 12)])
def test_few_tables_of_equal_methods_have_a_verdict(deviations, seeds, methods):
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        found = to_reference(*table(rng, methods, seeds, 12, deviations))
        wrong += bool({"better", "worse"} & set(found.verdicts()))
    assert wrong / 200 <= 0.06


def test_intervals_of_a_table_hold_all_true_differences_together():
    rng = np.random.default_rng(8)
    truth = np.mean(
        [a.mean() - b.mean() for a, b in (two_methods(rng, ease=0.5, n=3600) for _ in range(300))]
    )
    inside = 0
    for _ in range(200):
        methods, reference = table(rng, 2)
        methods.append(~reference | True)  # certainly better than any
        low, high = to_reference(methods, reference).intervals()
        inside += bool((low[:2] <= 0).all() and (high[:2] >= 0).all() and low[2] > truth)
    assert inside / 200 >= 0.94


def test_interval_verdict_and_p_value_never_contradict_one_another():
    rng = np.random.default_rng(11)
    seen = set()
    for ease in np.linspace(-1.5, 1.5, 60):
        hardness = images(rng)
        methods = [method(rng, 6, hardness, ease=ease, seed_sd=0.1) for _ in range(3)]
        found = to_reference(methods, method(rng, 6, hardness, seed_sd=0.1))
        ends = zip(*found.intervals(), strict=True)
        for (low, high), p, word in zip(ends, found.p_values(), found.verdicts(), strict=True):
            assert (word in ("better", "worse")) == (p < 0.05) == (low > 0 or high < 0)
            assert (word == "better") == (low > 0)
            assert 0 < p <= 1
            if word == "equivalent":
                assert -MARGIN < low <= 0 <= high < MARGIN
            seen.add(word)
    assert {"better", "worse", "not distinguishable"} <= seen


def test_the_p_value_is_the_level_at_which_the_interval_touches_0():
    methods, reference = table(np.random.default_rng(12), 3)
    found = to_reference([~methods[0], *methods[1:]], reference)
    for level in found.p_values()[found.p_values() < 1]:
        assert np.abs(np.abs(found.values) - found.half_widths(level)).min() < 1e-9


def test_the_variances_are_those_of_a_drawn_bootstrap_with_each_part_counted_once():
    rng = np.random.default_rng(2)
    a, b = two_methods(rng, (3, 5), seed_sd=0.5)

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
    found = to_reference([a], b)
    variance = found.images[0] + sum(part[0] for part, _ in found.seeds)
    assert variance == pytest.approx(by_images + seeds - residual, rel=0.04)
    assert both > 1.1 * variance
    assert found.values[0] == pytest.approx(a.mean() - b.mean())


def test_two_methods_whose_images_are_all_alike_have_the_interval_of_seeds():
    """Where every image is alike, seeds are all that varies, and Banerjee's formula is short."""
    rng = np.random.default_rng(3)
    a, b = (rng.random((n, 20_000)) < rng.normal(0.5, 0.05, (n, 1)) for n in (4, 3))
    expected = np.sqrt(
        sum(
            stats.t.ppf(0.975, len(f) - 1) ** 2 * f.mean(axis=1).var(ddof=1) / len(f)
            for f in (a, b)
        )
    )
    assert to_reference([a], b).half_widths() == pytest.approx(expected, rel=0.02)


def test_swapping_the_methods_swaps_the_sign():
    a, b = two_methods(np.random.default_rng(4), (3, 4))
    there, back = to_reference([a], b), to_reference([b], a)
    assert there.values == -back.values and there.p_values() == pytest.approx(back.p_values())
    assert there.intervals()[0] == pytest.approx(-back.intervals()[1])


def test_neither_the_order_of_methods_nor_of_seeds_nor_of_images_matters():
    rng = np.random.default_rng(5)
    (a, b), reference = table(rng, 2)
    order = rng.permutation(IMAGES)
    found = to_reference([a, b], reference).half_widths()
    again = to_reference([b[:, order], a[::-1, order]], reference[:, order])
    assert again.half_widths() == pytest.approx(found[::-1])
    # But the images must be the same in all: shuffled in one, they are no pairs any more.
    apart = to_reference([a[:, order], b], reference)
    assert apart.images[0] > 1.3 * to_reference([a, b], reference).images[0]


@pytest.mark.filterwarnings("error")
def test_a_variance_is_never_nothing():
    all_right, all_wrong = np.ones((3, 50), bool), np.zeros((3, 50), bool)
    same = to_reference([all_right], all_right)
    assert same.p_values() == 1.0 and (same.half_widths() > 1 / 50).all()
    certain = to_reference([all_right], all_wrong)
    assert certain.values == 1.0 and 0 < certain.p_values()[0] < 1e-6
    assert certain.verdicts() == ["better"]
    many = to_reference([all_right] * 12, np.zeros((12, 50), bool))
    assert (many.p_values() < 1e-6).all() and set(many.verdicts()) == {"better"}
    # 55 and 55 of 60 images against 56 and 56: one image is no difference.
    fewer, more = (np.tile(np.arange(60) < right, (2, 1)) for right in (55, 56))
    one = to_reference([more], fewer)
    assert one.p_values()[0] > 0.3 and one.verdicts() == ["not distinguishable"]


@pytest.mark.parametrize("shapes", [((1, 9), (3, 9)), ((3, 9), (3, 8)), ((9,), (3, 9))])
def test_shapes_that_cannot_be_compared_are_refused(shapes):
    one, reference = (np.ones(shape, bool) for shape in shapes)
    with pytest.raises(ValueError, match="cannot be compared"):
        to_reference([one], reference)


def test_two_groups_keep_their_variances_and_many_are_drawn_together():
    seen, none = np.array([1.0, 9.0]), np.zeros(2)
    variances, df = moderated(seen, none, np.array([2, 11]))
    assert variances.tolist() == [1, 9] and df.tolist() == [2, 11]
    seen = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    variances, df = moderated(seen, np.zeros(5), np.full(5, 2))
    # A prior of half a degree of freedom beside two.
    assert variances == pytest.approx(0.8 * seen + 0.2 * 3)
    assert df == pytest.approx(np.full(5, 2 / (0.84**2 + 4 * 0.04**2)))
    # One far from all others hardly raises them, and a floor holds.
    seen[-1] = 500.0
    variances, _ = moderated(seen, np.full(5, 1.9), np.full(5, 2))
    assert variances[:4] == pytest.approx(np.maximum(0.8 * seen[:4] + 0.2 * 5.18, 1.9))


@pytest.mark.parametrize("methods", [2, 3, 4, 12])
def test_a_family_are_the_pairs_of_the_reference_and_of_the_best(methods):
    pairs = list(itertools.combinations(range(methods), 2))
    found = compare_methods([np.eye(3, 9, k, dtype=bool) for k in range(methods)])
    assert found.family == len(pairs)
    best, reference = 0, methods - 1
    for place in range(methods):
        expected = sum(bool({best, reference} & {*pair}) for pair in pairs)
        assert found.against(place).family == expected
        assert (found.against(place).values == np.delete(found.values[:, place], place)).all()


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.05, 0.01, "better"),
        (-0.05, 0.01, "worse"),
        (0.05, 0.03, "not distinguishable"),
        (0.0, 0.004, "equivalent"),
        (0.0, 0.0062, "not distinguishable"),
        (0.005, 0.004, "not distinguishable"),
        (0.005, 0.001, "better"),
    ],
)
def test_verdicts(value, error, expected):
    found = Differences(np.array([value]), np.array([error**2]), ())
    assert found.verdicts() == [expected]
    assert found.half_widths()[0] == pytest.approx(special.ndtri(0.975) * error)


def test_a_family_of_more_pairs_has_wider_intervals():
    one, ten = (Differences(np.zeros(1), np.ones(1), (), k).half_widths()[0] for k in (1, 10))
    assert one == pytest.approx(stats.norm.ppf(0.975)) and ten == pytest.approx(
        stats.norm.ppf(0.9975)
    )


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
    assert np.mean([difference.p_values()[0] < 0.05 for difference in found]) <= 0.06


def test_pairs_of_seeds_say_more_than_seeds_that_have_nothing_in_common():
    rng = np.random.default_rng(10)
    pairs = [two_treatments(rng) for _ in range(200)]
    paired = np.median([compare_treatments(*pair).half_widths() for pair in pairs])
    apart = np.median([to_reference([a], b).half_widths() for a, b in pairs])
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


@pytest.mark.parametrize(
    ("seeds", "methods", "seed_sd"), [(3, 1, 0.3), (3, 6, 0.3), (6, 6, 0.3), (6, 6, 0.0)]
)
def test_the_promised_power_is_the_share_of_simulated_tables_that_find_the_difference(
    seeds, methods, seed_sd
):
    rng = np.random.default_rng(6)
    big = images(rng, 20_000)
    spread = Spread.of([method(rng, 40, big, seed_sd=seed_sd) for _ in range(4)])
    found, values = [], []
    for _ in range(200):
        hardness = images(rng)
        first = method(rng, seeds, hardness, ease=0.8, seed_sd=seed_sd)
        others, reference = (
            [method(rng, seeds, hardness, seed_sd=seed_sd) for _ in range(methods - 1)],
            method(rng, seeds, hardness, seed_sd=seed_sd),
        )
        differences = to_reference([first, *others], reference)
        found.append(differences.verdicts()[0] == "better")
        values.append(differences.values[0])
    promised = spread.power(float(np.mean(values)), IMAGES, seeds, methods)
    assert promised == pytest.approx(np.mean(found), abs=0.1)


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


def test_more_seeds_more_images_and_fewer_comparisons_find_more():
    spread = Spread(seeds=2e-4, images=0.02, residual=0.04)
    grid = [[spread.power(0.03, n, s, 5) for s in (3, 4, 6, 10)] for n in (360, 1000, 10_000)]
    for row in (*grid, *zip(*grid, strict=True)):
        assert all(one < two for one, two in itertools.pairwise(row))
    assert spread.power(0.03, 360, 6, 12) < spread.power(0.03, 360, 6, 2)
    needed = spread.seeds_needed(0.03, 1000, 5)
    assert needed is not None
    assert spread.power(0.03, 1000, needed, 5) >= 0.8 > spread.power(0.03, 1000, needed - 1, 5)


@pytest.mark.parametrize("difference", [0.001, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seeds", [3, 20, 1000])
@pytest.mark.parametrize("size", [1e-8, 1e-4, 0.1])
def test_power_is_a_number_whatever_is_asked(difference, seeds, size):
    """A noncentral t of another library has none far from 0."""
    spread = Spread(seeds=size, images=size, residual=size)
    for comparisons in (1, 20):
        assert 0 <= spread.power(difference, 10_000, seeds, comparisons) <= 1


def test_no_number_of_seeds_replaces_images():
    spread = Spread(seeds=2e-4, images=0.02, residual=0.04)
    assert spread.seeds_needed(0.001, 360, 1) is None
    assert spread.seeds_needed(0.5, 360, 1) == 3
    assert Spread(0.0, 0.0, 0.0).power(0.5, 10, 3, 1) > 0.9
