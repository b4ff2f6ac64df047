from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from regmix_bench.analysis.best import Best
from regmix_bench.analysis.methods import Differences


def pairs(means, errors):
    """All pairs of methods of these standard errors, whose images have nothing in common."""
    means, squares = np.array(means), np.square(errors)
    return Differences(
        means[..., :, None] - means[..., None, :],
        squares[..., :, None] + squares[..., None, :],
        (),
    )


def z(ends):
    """The quantile at which so many ends of intervals fail with 5 % together."""
    return -special.ndtri(0.05 / ends)


def test_a_clear_winner_is_alone_and_every_other_is_behind_it():
    found = Best.of(pairs([0.5, 0.4, 0.3], [0.006, 0.008, 0.0]), None)
    assert found.members.tolist() == [True, False, False]
    assert found.values == pytest.approx([0.1, -0.1, -0.2])
    # With one candidate left, the ends of its two pairs.
    wide, narrow = 0.01 * z(4), 0.006 * z(4)
    assert found.low == pytest.approx([0.1 - wide, -0.1 - wide, -0.2 - narrow])
    assert found.high == pytest.approx([0.1 + wide, -0.1 + wide, -0.2 + narrow])


def test_who_cannot_be_told_from_the_highest_is_of_its_group():
    found = Best.of(pairs([0.50, 0.48, 0.30], [0.006, 0.008, 0.0]), None)
    assert found.members.tolist() == [True, True, False]
    # Two candidates: each may err against the two others, and the third's distance has an end.
    half = np.hypot(0.006, 0.008) * z(5)
    assert found.values == pytest.approx([0.02, -0.02, -0.20])
    assert found.low == pytest.approx([0.02 - half, -0.02 - half, -0.20 - 0.006 * z(5)])
    assert found.high == pytest.approx([0.02 + half, -0.02 + half, -0.18 + 0.008 * z(5)])


def test_what_is_denied_makes_room_to_deny_more():
    bad = [0.1] * 8
    many = Best.of(pairs([0.5, 0.457, *bad], [0.01] * 10), None)
    assert many.members.tolist() == [True, *[False] * 9]
    # Eight more of the same quality leave all ten to be told apart.
    alike = Best.of(pairs([0.5, 0.457, *[0.48] * 8], [0.01] * 10), None)
    assert alike.members.all()
    assert 0.01 * 2**0.5 * z(26) < 0.043 < 0.01 * 2**0.5 * z(90)


def test_the_reference_has_the_intervals_of_its_verdicts_whatever_is_denied():
    table = pairs([0.5, 0.46, 0.47, *[0.1] * 8], [0.01] * 11)
    against = table.against(2)
    assert against.family == 19
    assert against.half_widths() == pytest.approx(0.01 * 2**0.5 * z(38))
    found = Best.of(table, 2)
    assert found.high[2] == pytest.approx(-0.03 + 0.01 * 2**0.5 * z(38))
    # Two methods and their reference are three pairs, all of the family.
    three = Best.of(pairs([0.5, 0.48, 0.47], [0.01] * 3), 0)
    assert three.high - three.values == pytest.approx([0.01 * 2**0.5 * z(6)] * 3, abs=0.02)


def test_two_methods_are_one_pair_with_a_reference_and_without():
    table = pairs([0.5, 0.4], [0.01, 0.01])
    for reference in (None, 0, 1):
        found = Best.of(table, reference)
        assert found.high == pytest.approx(table.intervals()[1][[0, 1], [1, 0]])
        assert found.low == pytest.approx(table.intervals()[0][[0, 1], [1, 0]])


def test_a_noisy_row_stays_where_a_steady_one_of_higher_mean_goes():
    found = Best.of(pairs([0.50, 0.45, 0.44], [0.004, 0.004, 0.08]), None)
    assert found.members.tolist() == [True, False, True]
    # The second is worse than the first alone: the third may be the best, and worse than it.
    assert found.high[1] == 0.0 and found.low[1] < -0.06


def test_leading_axes_are_tables_each_with_a_count_of_its_own():
    means = np.random.default_rng(0).normal(0.5, 0.03, (40, 6))
    errors = np.full(6, 0.01)
    together = Best.of(pairs(means, errors), 5)
    assert len({*together.members.sum(axis=1)}) > 1
    for place, row in enumerate(means):
        alone = Best.of(pairs(row, errors), 5)
        assert (alone.members == together.members[place]).all()
        assert (alone.high == together.high[place]).all()
        assert (alone.low == together.low[place]).all()


def test_the_ends_stay_between_minus_one_and_one():
    found = Best.of(pairs([1.0, 0.0], [0.2, 0.2]), None)
    assert found.high[0] == 1.0 and found.low[1] == -1.0


@pytest.mark.parametrize("equal", [2, 5, 12])
@pytest.mark.parametrize("worse", [0, 6])
def test_five_percent_of_tables_deny_one_of_the_best_at_most(equal, worse):
    rng = np.random.default_rng(equal)
    truth = np.repeat([0.5, 0.2], [equal, worse])
    errors = rng.uniform(0.005, 0.02, equal + worse)
    for reference in (None, 0, -1):
        table = pairs(rng.normal(truth, errors, (4000, len(truth))), errors)
        place = None if reference is None else reference % len(truth)
        assert (~Best.of(table, place).members[:, :equal]).any(axis=1).mean() <= 0.055


def test_no_claim_contradicts_another():
    """Whatever the means and errors: of one set of intervals, so by construction."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(2, 9))
        means, errors = rng.normal(0.5, 0.05, n), rng.exponential(0.02, n)
        table = pairs(means, errors)
        found = Best.of(table, 0)
        assert found.members[means.argmax()]
        assert (found.members == (found.high > 0)).all()
        assert ((found.low < found.values) & (found.values < found.high)).all()
        low, high = table.against(0).intervals()
        assert not (found.members[1:] & (high < 0)).any()
        assert not (found.members[0] and (low > 0).any())
        sole = found.members & (found.members.sum() == 1)
        assert ((found.low >= 0) == sole).all()
