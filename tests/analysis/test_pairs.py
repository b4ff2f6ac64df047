from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy import special, stats
from support.flags import IMAGES, images, method, table, two_methods

from regmix_bench.analysis.methods import MARGIN, Differences, Floats, SplitPlot, relation
from regmix_bench.analysis.pairs import Pairs, compare_methods


class Column(NamedTuple):
    """What is said of methods against one."""

    values: Floats
    ends: tuple[Floats, Floats]
    half: Floats
    p_values: list[float]
    words: list[str]


def to_reference(methods, reference):
    found = compare_methods([*methods, reference])
    low, high = (ends[:-1, -1] for ends in found.intervals())
    words = [relation(*ends) for ends in zip(low, high, strict=True)]
    p_values = found.p_values()[:-1, -1].tolist()
    return Column(found.values[:-1, -1], (low, high), found.half_widths()[:-1, -1], p_values, words)


# benchmarks/verdicts.py asks it of 10,000 tables; here of three kinds.
@pytest.mark.parametrize("deviations", [(0.0,), (0.3,), (0.0, 1.0)])
@pytest.mark.parametrize(("seeds", "methods"), [(3, 4), (6, 8)])
def test_few_tables_of_equal_methods_have_a_verdict(deviations, seeds, methods):
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        found = to_reference(*table(rng, methods, seeds, 12, deviations))
        wrong += bool({"better", "worse"} & set(found.words))
    assert wrong / 100 <= 0.06


def test_intervals_of_a_table_hold_all_true_differences_together():
    rng = np.random.default_rng(8)
    truth = np.mean(
        [a.mean() - b.mean() for a, b in (two_methods(rng, ease=0.5, n=3600) for _ in range(300))]
    )
    inside = 0
    for _ in range(200):
        methods, reference = table(rng, 2)
        methods.append(~reference | True)  # certainly better than any
        low, high = to_reference(methods, reference).ends
        inside += bool((low[:2] <= 0).all() and (high[:2] >= 0).all() and low[2] > truth)
    assert inside / 200 >= 0.94


def test_interval_verdict_and_p_value_never_contradict_one_another():
    rng = np.random.default_rng(11)
    seen = set()
    for ease in np.linspace(-1.5, 1.5, 60):
        hardness = images(rng)
        methods = [method(rng, 6, hardness, ease=ease, seed_sd=0.1) for _ in range(3)]
        found = to_reference(methods, method(rng, 6, hardness, seed_sd=0.1))
        for low, high, p, word in zip(*found.ends, found.p_values, found.words, strict=True):
            assert (word in ("better", "worse")) == (p < 0.05) == (low > 0 or high < 0)
            assert (word == "better") == (low > 0)
            assert 0 < p <= 1
            if word == "equivalent":
                assert -MARGIN < low <= 0 <= high < MARGIN
            seen.add(word)
    assert {"better", "worse", "not distinguishable"} <= seen


def test_the_p_value_is_the_level_at_which_the_interval_touches_0():
    methods, reference = table(np.random.default_rng(12), 3)
    found = compare_methods([~methods[0], *methods[1:], reference])
    for level in np.unique(found.p_values()):
        if 0.001 < level < 1:
            above = found.half_widths(level) >= np.abs(found.values)
            assert (above == (found.p_values() >= level)).all()


def test_where_images_are_all_alike_and_one_method_never_varies_it_is_students_interval():
    rng = np.random.default_rng(3)
    a = rng.random((4, 20_000)) < rng.normal(0.5, 0.05, (4, 1))
    b = np.tile(rng.random(20_000) < 0.5, (12, 1))
    expected = stats.t.ppf(0.975, 3) * a.mean(axis=1).std(ddof=1) / 2
    assert to_reference([a], b).half == pytest.approx(expected, rel=0.03)


def test_a_table_of_more_methods_has_wider_intervals_but_no_wider_than_bonferronis():
    rng = np.random.default_rng(14)
    methods, reference = table(rng, 11)
    two = compare_methods([methods[0], reference])
    twelve = compare_methods([*methods, reference])
    assert two.half_widths()[0, 1] < twelve.half_widths()[0, -1]
    assert (two.half_widths() <= two.widths).all()
    assert (twelve.half_widths() < 0.95 * twelve.widths).all()


def test_the_intervals_follow_what_was_drawn_and_bonferroni_where_that_is_less():
    drawn = np.arange(1, 20_000) / 40_000
    values, z = np.array([[0.0, 0.3], [-0.3, 0.0]]), special.ndtri(0.975)

    def found(factor, scale=1.0):
        alone = Differences(values * factor, np.full((2, 2), (0.1 / z) ** 2), ())
        return Pairs(alone, drawn * scale)

    # 998 of 19,999 are above 19,001 / 40,000, which is as many as 5 % allow.
    assert found(1).half_widths()[0, 1] == pytest.approx(0.1 * 19_001 / 40_000)
    assert found(1).p_values()[0, 0] == 1.0
    for value, significant in ((0.0475026, True), (0.0475024, False)):
        one = found(value / 0.3)
        assert (one.p_values()[0, 1] < 0.05) == (one.intervals()[0][0, 1] > 0) == significant
    assert found(1, 9).half_widths()[0, 1] == pytest.approx(0.1)
    assert found(1 / 3, 9).p_values()[0, 1] == pytest.approx(0.05)


def test_swapping_the_methods_swaps_the_sign():
    a, b = two_methods(np.random.default_rng(4), (3, 4))
    there, back = to_reference([a], b), to_reference([b], a)
    assert there.values == -back.values and there.p_values == back.p_values
    assert there.ends[0] == pytest.approx(-back.ends[1])


def test_neither_the_order_of_methods_nor_of_seeds_nor_of_images_matters():
    rng = np.random.default_rng(5)
    (a, b), reference = table(rng, 2)
    order = rng.permutation(IMAGES)
    found = to_reference([a, b], reference).half
    again = to_reference([b[:, order], a[::-1, order]], reference[:, order])
    assert again.half == pytest.approx(found[::-1])
    # But the images must be the same in all: shuffled in one, they are no pairs any more.
    apart = SplitPlot.of([a[:, order], b, reference]).differences().images[0, 2]
    assert apart > 1.3 * SplitPlot.of([a, b, reference]).differences().images[0, 2]


@pytest.mark.filterwarnings("error")
def test_a_variance_is_never_nothing():
    all_right, all_wrong = np.ones((3, 50), bool), np.zeros((3, 50), bool)
    same = to_reference([all_right], all_right)
    assert same.p_values == [1.0] and same.half[0] > 1 / 50
    certain = to_reference([all_right], all_wrong)
    assert certain.values == 1.0 and 0 < certain.p_values[0] < 1e-4
    assert certain.words == ["better"]
    many = to_reference([all_right] * 12, np.zeros((12, 50), bool))
    assert max(many.p_values) < 1e-4 and set(many.words) == {"better"}
    # 55 and 55 of 60 images against 56 and 56: one image is no difference.
    fewer, more = (np.tile(np.arange(60) < right, (2, 1)) for right in (55, 56))
    one = to_reference([more], fewer)
    assert one.p_values[0] > 0.3 and one.words == ["not distinguishable"]


@pytest.mark.parametrize("shapes", [((1, 9), (3, 9)), ((3, 9), (3, 8)), ((9,), (3, 9))])
def test_shapes_that_cannot_be_compared_are_refused(shapes):
    one, reference = (np.ones(shape, bool) for shape in shapes)
    with pytest.raises(ValueError, match="cannot be compared"):
        to_reference([one], reference)
