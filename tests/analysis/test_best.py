from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from regmix_bench.analysis.best import Best
from regmix_bench.analysis.methods import Differences
from regmix_bench.analysis.pairs import Pairs


def pairs(means, errors):
    """All pairs of methods; half of the interval of each is as long as the hypotenuse of errors."""
    means, errors = np.array(means), np.array(errors)
    count = len(means) * (len(means) - 1) / 2
    images = (errors[:, None] ** 2 + errors[None, :] ** 2) / special.ndtri(0.025 / count) ** 2
    return Pairs(Differences(means[:, None] - means[None, :], images, ()), np.ones(19_999))


def test_a_clear_winner_is_alone_and_every_other_is_behind_it():
    found = Best.of(pairs([0.5, 0.4, 0.3], [0.03, 0.04, 0.0]))
    assert found.members.tolist() == [True, False, False]
    assert found.values == pytest.approx([0.1, -0.1, -0.2])
    assert found.low == pytest.approx([0.05, -0.15, -0.23])
    assert found.high == pytest.approx([0.15, -0.05, -0.17])


def test_who_cannot_be_told_from_the_highest_is_of_its_group():
    found = Best.of(pairs([0.50, 0.47, 0.30], [0.03, 0.04, 0.0]))
    assert found.members.tolist() == [True, True, False]
    # The first is ahead of the second by 3 points, give or take 5; the last is behind both.
    assert found.values == pytest.approx([0.03, -0.03, -0.20])
    assert found.low == pytest.approx([-0.02, -0.08, -0.23])
    assert found.high == pytest.approx([0.08, 0.02, -0.13])


def test_a_noisy_row_stays_where_a_steady_one_of_higher_mean_goes():
    found = Best.of(pairs([0.50, 0.45, 0.44], [0.01, 0.01, 0.20]))
    assert found.members.tolist() == [True, False, True]
    # The second is worse than the first alone: the third may be the best, and worse than it.
    assert found.high[1] == 0.0 and found.low[1] < -0.06


def test_equal_methods_are_all_of_the_group():
    found = Best.of(pairs([0.5, 0.5, 0.5], [0.1, 0.1, 0.1]))
    assert found.members.all() and found.values.tolist() == [0.0, 0.0, 0.0]


def test_the_ends_stay_between_minus_one_and_one():
    found = Best.of(pairs([1.0, 0.0], [0.5, 0.5]))
    assert found.high[0] == 1.0 and found.low[1] == -1.0


def test_no_claim_contradicts_another():
    """Whatever the means and errors: of one family of intervals, so by construction."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(2, 9))
        means, errors = rng.normal(0.5, 0.05, n), rng.exponential(0.05, n)
        table = pairs(means, errors)
        found = Best.of(table)
        low, high = table.intervals()
        assert found.members[means.argmax()]
        assert (found.members == (found.high > 0)).all()
        assert ((found.low < found.values) & (found.values < found.high)).all()
        # No member is worse than any row, and nothing is better than a member.
        assert not (high[found.members] < 0).any() and not (low[:, found.members] > 0).any()
        sole = found.members & (found.members.sum() == 1)
        assert ((found.low >= 0) == sole).all()
