from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.flags import IMAGES, images, method

from regmix_bench.analysis.pairs import compare_methods
from regmix_bench.analysis.spread import Spread


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
        pairs = compare_methods([first, *others, reference])
        found.append(pairs.intervals()[0][0, -1] > 0)
        values.append(pairs.values[0, -1])
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
