from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats
from support.flags import IMAGES, images, two_methods

from regmix_bench.analysis.methods import (
    Differences,
    SplitPlot,
    compare_treatments,
    moderated,
    relation,
    seed_pairs,
)
from regmix_bench.analysis.pairs import compare_methods


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
    found = SplitPlot.of([a, b])
    apart = found.differences()
    variance = apart.images[0, 1] + sum(
        part.flat[-1 - at] for at, (part, _) in enumerate(apart.seeds)
    )
    assert variance == pytest.approx(by_images + seeds - residual, rel=0.04)
    assert both > 1.1 * variance
    assert found.means == pytest.approx([a.mean(), b.mean()])


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


def test_the_interval_of_unlike_variances_is_banerjees():
    variances, df = (np.array([0.04]), np.array([0.01])), (3.0, 8.0)
    found = Differences(
        np.array([0.1]),
        np.array([0.02]),
        tuple((v, np.array([d])) for v, d in zip(variances, df, strict=True)),
    )
    squares = stats.norm.ppf(0.975) ** 2 * 0.02
    squares += stats.t.ppf(0.975, 3) ** 2 * 0.04 + stats.t.ppf(0.975, 8) ** 2 * 0.01
    assert found.half_widths() == pytest.approx(np.sqrt(squares))
    (level,) = found.p_values()
    assert found.half_widths(level) == pytest.approx(0.1)


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
    (low,), (high,) = found.intervals()
    assert relation(low, high) == expected
    assert found.half_widths()[0] == pytest.approx(special.ndtri(0.975) * error)
    assert (found.p_values()[0] < 0.05) == (expected in ("better", "worse"))


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
    apart = np.median([compare_methods([a, b]).half_widths()[0, 1] for a, b in pairs])
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
